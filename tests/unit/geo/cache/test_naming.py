"""One name for each country, whichever source answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod.errors import StoreLockedError
from bangeod.geo.cache.naming import Counts, Naming, decide
from bangeod.model import DirtyEntry, Geo
from bangeod.store.memory import MemoryStore
from tests.support.fakes import NamesInMemory, World

IP, OTHER = "8.8.8.8", "9.9.9.9"
LOCKED = StoreLockedError("memory", "locked", "wait")


def fresh(**rows: tuple[str, str]) -> World:
    """Return a cache of an installation that has not settled any name; rows by country of an IP."""
    world = World(names=NamesInMemory())
    for number, (code, name) in enumerate(rows.values()):
        world.store.put_geo(f"1.0.0.{number}", country_code=code, country_name=name)
    return world


def names(world: World) -> dict[object, object]:
    return {ip: row["country_name"] for ip, row in world.store.geo_cache.items()}


# --- the decision ---


@pytest.mark.parametrize(
    ("counts", "names"),
    [
        pytest.param({}, {}, id="no rows"),
        pytest.param({("RU", "Russian Federation"): 1}, {"RU": "Russian Federation"}, id="what the rows have"),
        pytest.param({("RU", "Russian Federation"): 2, ("RU", "Russia"): 3}, {"RU": "Russia"}, id="the most"),
        pytest.param({("NL", "The Netherlands"): 2, ("NL", "Netherlands"): 2}, {"NL": "Netherlands"}, id="a tie"),
        pytest.param({("NL", "Nederland"): 2, ("NL", "Holland"): 2}, {"NL": "Holland"}, id="a tie without CLDR's"),
        pytest.param({("CI", "C\N{REPLACEMENT CHARACTER}te"): 9}, {}, id="what is no UTF-8"),
    ],
)
def test_the_name_that_most_rows_have_is_the_name(counts: Counts, names: dict[str, str]) -> None:
    assert decide(counts) == names


_CODES = st.sampled_from(["DE", "RU", "XK"])
_NAMES = st.text(alphabet="abé", min_size=1, max_size=3)


@given(st.dictionaries(st.tuples(_CODES, _NAMES), st.integers(1, 9)))
def test_no_name_has_more_rows_than_the_one_decided_on(counts: dict[tuple[str, str], int]) -> None:
    decided = decide(counts)
    assert decided.keys() == {code for code, _ in counts}
    for code, name in decided.items():
        assert counts[code, name] == max(rows for (of, _), rows in counts.items() if of == code)


# --- what is written ---


async def test_without_rows_a_country_is_called_as_in_cldr_whatever_the_source_says() -> None:
    world = fresh()
    world.local.places = {IP: Geo("RU", "Russian Federation")}
    assert (await world.cache.lookup(IP)).geo == Geo("RU", "Russia")
    await world.cache.flush_dirty()
    assert names(world) == {IP: "Russia"}
    assert world.names.names == {"RU": "Russia"}


async def test_a_country_is_called_as_the_rows_have_it() -> None:
    world = fresh(a=("RU", "Russian Federation"))
    await world.cache.load_from_db()
    world.local.places = {IP: Geo("RU", "Russia", "AS64500", "Example")}
    assert (await world.cache.lookup(IP)).geo == Geo("RU", "Russian Federation", "AS64500", "Example")
    await world.cache.flush_dirty()
    assert set(names(world).values()) == {"Russian Federation"}
    assert world.names.names == {"RU": "Russian Federation"}


async def test_rows_that_came_before_the_first_write_of_a_code_decide() -> None:
    world = fresh()
    await world.cache.load_from_db()
    world.local.places = {IP: Geo("NL", "Netherlands")}
    await world.cache.lookup(IP)
    world.store.put_geo(OTHER, country_code="NL", country_name="The Netherlands")  # the web app, meanwhile
    await world.cache.flush_dirty()
    assert names(world) == {IP: "The Netherlands", OTHER: "The Netherlands"}
    assert (await world.cache.lookup(IP)).geo.country_name == "The Netherlands"


async def test_a_name_stays_once_it_is_settled_whatever_the_rows_become() -> None:
    world = fresh()
    world.local.places = {IP: Geo("NL"), OTHER: Geo("NL", "The Netherlands")}
    await world.cache.lookup(IP)
    await world.cache.flush_dirty()
    for i in range(5):
        world.store.put_geo(f"1.0.0.{i}", country_code="NL", country_name="Holland")
    await world.cache.load_from_db()
    await world.cache.lookup(OTHER)
    await world.cache.flush_dirty()
    assert names(world)[OTHER] == "Netherlands"


async def test_a_later_process_knows_the_names() -> None:
    heir = World(names=NamesInMemory({"KR": "Korea"}))
    heir.local.places = {IP: Geo("KR", "South Korea")}
    assert (await heir.cache.lookup(IP)).geo.country_name == "Korea"


async def test_rows_keep_the_names_that_they_have() -> None:
    world = fresh(a=("RU", "Russia"), b=("RU", "Russia"), c=("RU", "Russian Federation"))
    await world.cache.load_from_db()
    assert (await world.cache.lookup("1.0.0.2")).geo.country_name == "Russian Federation"
    await world.cache.flush_dirty()
    assert names(world)["1.0.0.2"] == "Russian Federation"


async def test_what_ip_api_says_is_named_as_well() -> None:
    world = fresh(a=("TR", "Turkey"))
    await world.cache.load_from_db()
    world.with_remote({IP: Geo("TR", "Türkiye", "AS64500")})
    await world.cache.lookup(IP)
    await world.cache.flush_dirty()
    assert names(world)[IP] == "Turkey"


async def test_verification_gives_the_name_that_the_table_has() -> None:
    world = fresh(a=("DE", "Germany"), b=("TR", "Turkey"))
    await world.cache.load_from_db()
    await world.cache.verify(lambda _ip: Geo("TR", "Türkiye"))
    await world.cache.flush_dirty()
    assert names(world) == {"1.0.0.0": "Turkey", "1.0.0.1": "Turkey"}


async def test_a_correction_of_the_as_alone_leaves_the_name() -> None:
    world = fresh(a=("RU", "Russia"), b=("RU", "Russia"), c=("RU", "Russian Federation"))
    await world.cache.load_from_db()
    await world.cache.verify(lambda ip: Geo("RU", "RU", "AS64500") if ip == "1.0.0.2" else None)
    await world.cache.flush_dirty()
    row = world.store.geo_cache["1.0.0.2"]
    assert (row["country_name"], row["asn"]) == ("Russian Federation", "AS64500")


async def test_what_an_earlier_process_left_is_named_as_well() -> None:
    world = fresh(a=("VN", "Vietnam"))
    world.cache.restore_dirty([DirtyEntry(IP, Geo("VN", "Viet Nam"), world.now, world.now)])
    await world.cache.flush_dirty()
    assert names(world)[IP] == "Vietnam"


async def test_what_an_earlier_process_left_without_a_change_of_country_keeps_its_name() -> None:
    world = fresh(a=("VN", "Vietnam"), b=("VN", "Vietnam"))
    held = Geo("VN", "Viet Nam")
    world.store.put_geo(IP, country_code="VN", country_name="Viet Nam")
    world.cache.restore_dirty([DirtyEntry(IP, held._replace(asn="AS64500"), world.now, world.now, replaces=held)])
    await world.cache.flush_dirty()
    assert (names(world)[IP], world.store.geo_cache[IP]["asn"]) == ("Viet Nam", "AS64500")


async def test_where_the_rows_cannot_be_counted_nothing_is_written_and_the_next_flush_decides() -> None:
    world = fresh(a=("RU", "Russian Federation"))
    world.local.places = {IP: Geo("RU", "Russia")}
    await world.cache.lookup(IP)
    world.store.fail_next(LOCKED)
    with pytest.raises(StoreLockedError):
        await world.cache.flush_dirty()
    assert (IP in world.store.geo_cache, world.names.names) == (False, {})
    assert await world.cache.flush_dirty() == 1
    assert names(world)[IP] == "Russian Federation"


async def test_an_answer_from_before_the_rows_could_be_counted_is_renamed_where_it_waits() -> None:
    world = fresh(a=("RU", "Russian Federation"))
    world.local.places = {IP: Geo("RU", "Russia")}
    await world.cache.lookup(IP)
    await world.cache.load_from_db()
    await world.cache.flush_dirty()
    assert names(world)[IP] == "Russian Federation"
    assert (await world.cache.lookup(IP)).geo.country_name == "Russian Federation"


async def test_what_another_process_has_settled_meanwhile_is_the_name() -> None:
    world = World(names=NamesInMemory(elsewhere={"RU": "Rossiya"}))
    world.local.places = {IP: Geo("RU", "Russia")}
    await world.cache.lookup(IP)
    await world.cache.flush_dirty()
    assert names(world) == {IP: "Rossiya"}


async def test_nothing_is_counted_where_all_names_are_settled() -> None:
    world = World()
    world.local.places = {IP: Geo("DE", "Deutschland")}
    await world.cache.lookup(IP)
    world.store.fail_next(LOCKED, after=1)  # the write is the first step
    assert await world.cache.flush_dirty() == 1


async def test_asking_settles_nothing() -> None:
    kept = NamesInMemory()
    naming = Naming(MemoryStore(), kept)
    assert naming.named(Geo("RU", "Russian Federation")) == Geo("RU", "Russia")
    await naming.count()
    assert kept.names == {}


def test_what_has_no_country_stays_as_it_is() -> None:
    naming = Naming(MemoryStore())
    assert naming.named(Geo(asn="AS64500", org="Example")) == Geo(asn="AS64500", org="Example")
    assert naming.named(Geo("ZZ", "Nowhere")) == Geo("ZZ", "Nowhere")


async def test_what_is_asked_aside_is_not_settled() -> None:
    world = fresh()
    world.local.places = {IP: Geo("RU"), OTHER: Geo("NL")}
    await world.cache.lookup(IP)
    assert world.naming.aside(lambda: world.resolver.ask_local([OTHER]))[OTHER].geo.country_name == "Netherlands"
    await world.cache.flush_dirty()
    assert world.names.names == {"RU": "Russia"}
