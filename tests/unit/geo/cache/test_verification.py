"""Holding cached entries against MMDBs that have changed: what becomes of an entry, and the way through all of them."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod.geo.cache.cache import GeoCache
from bangeod.geo.cache.contents import Memory
from bangeod.geo.cache.resolver import Found, Resolver
from bangeod.geo.cache.verification import AT_ONCE, LONGEST_STEP, Verified, corrected, verify
from bangeod.model import DirtyEntry, Geo, Origin
from bangeod.store.memory import MemoryStore
from tests.support.fakes import SourcesInHand
from tests.support.manual_clock import ManualClock

IP = "8.8.8.8"
OTHER = "9.9.9.9"
FULL = Geo("DE", "Germany", "AS1", "One")
FRANCE = Geo("FR", "France")

some = st.sampled_from((None, "A", "B"))
geos = st.builds(Geo, some, some, some, some)


# --- what becomes of an entry ---


@pytest.mark.parametrize(
    ("held", "said", "becomes"),
    [
        pytest.param(FULL, None, None, id="nothing is known of it any more"),
        pytest.param(FULL, Geo("DE", "Germany"), None, id="the same"),
        pytest.param(FULL, Geo("DE", "Deutschland"), None, id="another name of the country"),
        pytest.param(FULL, Geo("DE", None, "AS1", "One GmbH"), None, id="another name of the autonomous system"),
        pytest.param(FULL, FRANCE, FRANCE, id="another country, and what belonged to the old one goes"),
        pytest.param(FULL, Geo("FR", None, "AS2", "Two"), Geo("FR", None, "AS2", "Two"), id="all of it another"),
        pytest.param(FULL, Geo("DE", None, "AS2", "Two"), Geo("DE", "Germany", "AS2", "Two"), id="another system"),
        pytest.param(FULL, Geo("DE", None, "AS2"), Geo("DE", "Germany", "AS2"), id="another system without a name"),
        pytest.param(FULL, Geo(None, None, "AS2", "Two"), Geo("DE", "Germany", "AS2", "Two"), id="no country said"),
        pytest.param(Geo("DE"), Geo("DE", None, "AS1", "One"), Geo("DE", None, "AS1", "One"), id="a system now known"),
        pytest.param(Geo("DE", None, None, "One"), Geo("DE", None, "AS1"), Geo("DE", None, "AS1", "One"), id="number"),
        pytest.param(Geo("DE", None, "AS1"), Geo("DE", None, "AS1", "One"), Geo("DE", None, "AS1", "One"), id="name"),
        pytest.param(Geo(), FRANCE, None, id="an entry without a country is resolved, not verified"),
        pytest.param(Geo(None, None, "AS1"), FRANCE, None, id="whatever else is known of it"),
    ],
)
def test_an_entry_becomes(held: Geo, said: Geo | None, becomes: Geo | None) -> None:
    assert corrected(held, said) == becomes


@given(geos, geos)
def test_a_country_is_never_taken_away(held: Geo, said: Geo) -> None:
    new = corrected(held, said)
    assert new is None or new.country_code == (said.country_code or held.country_code)


@given(geos, geos)
def test_what_was_corrected_is_right(held: Geo, said: Geo) -> None:
    new = corrected(held, said)
    assert new is None or corrected(new, said) is None


@given(geos, geos)
def test_what_the_files_know_of_country_and_system_holds(held: Geo, said: Geo) -> None:
    new = corrected(held, said) or held
    if held.country_code:
        assert said.country_code in (None, new.country_code)
        assert said.asn in (None, new.asn)


# --- through all of them ---


class World:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore()
        self.cache = GeoCache(self.store, Resolver(self.clock, SourcesInHand()), self.clock)
        self.says: dict[str, Geo] = {}

    async def hold(self, **rows: str | None) -> None:
        """Have rows in the table and in memory; an address is written with underscores."""
        for name, code in rows.items():
            self.store.put_geo(name[1:].replace("_", "."), country_code=code, last_seen="2026-11-21T00:00:00Z")
        await self.cache.load_from_db()

    async def verify(self) -> Verified:
        return await self.cache.verify(self.says.get)

    def row(self, ip: str = IP) -> object:
        return self.store.geo_cache[ip].get("country_code")


@pytest.fixture
def world() -> World:
    return World()


async def test_what_changes_is_answered_at_once_and_written_by_the_next_flush(world: World) -> None:
    await world.hold(_8_8_8_8="DE", _9_9_9_9="CH")
    world.says = {IP: FRANCE, OTHER: Geo("CH")}
    assert await world.verify() == Verified(checked=2, changed=1)
    assert (await world.cache.lookup(IP)).geo == FRANCE
    assert await world.cache.flush_dirty() >= 1
    assert (world.row(IP), world.row(OTHER)) == ("FR", "CH")


async def test_what_is_unresolved_is_left_alone(world: World) -> None:
    await world.hold(_8_8_8_8=None)
    world.says = {IP: FRANCE}
    assert (await world.verify()).changed == 0
    assert world.cache.dirty == 0


async def test_a_row_that_the_web_app_changed_meanwhile_stays(world: World) -> None:
    await world.hold(_8_8_8_8="DE")
    world.says = {IP: FRANCE}
    await world.verify()
    world.store.put_geo(IP, country_code="IT")
    await world.cache.flush_dirty()
    assert world.row() == "IT"


async def test_a_row_follows_although_it_was_verified_twice_before_the_flush(world: World) -> None:
    await world.hold(_8_8_8_8="DE")
    for said in (FRANCE, Geo("IT")):
        world.says = {IP: said}
        await world.verify()
    await world.cache.flush_dirty()
    assert world.row() == "IT"


async def test_a_row_follows_although_the_address_was_looked_up_meanwhile(world: World) -> None:
    await world.hold(_8_8_8_8="DE")
    world.says = {IP: FRANCE}
    await world.verify()
    await world.cache.lookup(IP)
    await world.cache.flush_dirty()
    assert world.row() == "FR"


async def test_an_entry_that_waits_to_be_written_for_the_first_time_is_written_as_corrected(world: World) -> None:
    world.cache.adopt({IP: Found(Geo("DE"), Origin.IP_API)})
    world.says = {IP: FRANCE}
    await world.verify()
    await world.cache.flush_dirty()
    assert world.row() == "FR"


async def test_last_seen_does_not_move(world: World) -> None:
    await world.hold(_8_8_8_8="DE")
    world.says = {IP: FRANCE}
    await world.verify()
    await world.cache.flush_dirty()
    assert world.store.geo_cache[IP]["last_seen"] == "2026-11-21T00:00:00Z"


@pytest.mark.parametrize("seen", [None, -100_000_000_000, "0001-01-02T00:00:00Z"])
async def test_a_row_that_does_not_say_when_it_was_seen_is_not_made_one_to_clean_up(world: World, seen: object) -> None:
    world.store.put_geo(IP, country_code="DE", last_seen=seen)
    await world.cache.load_from_db()
    world.says = {IP: FRANCE}
    await world.verify()
    (entry,) = world.cache.dirty_entries()
    assert entry.last_seen == world.clock.now()


async def test_a_row_follows_although_it_was_corrected_once_more_while_it_was_written(world: World) -> None:
    await world.hold(_8_8_8_8="DE")
    world.says = {IP: FRANCE}
    await world.verify()
    written = world.cache.dirty_entries()
    async for _ in world.store.write(written):
        world.says = {IP: Geo("IT")}
        await world.verify()
    world.cache._memory.dirty.committed(written)
    await world.cache.flush_dirty()
    assert world.row() == "IT"


async def test_rows_read_before_the_flush_do_not_undo_it(world: World) -> None:
    await world.hold(_8_8_8_8="DE")
    rows = await world.store.find([IP])
    world.says = {IP: FRANCE}
    await world.verify()
    await world.cache.flush_dirty()
    world.cache.take_rows(rows)
    assert world.cache.known(IP) == FRANCE


async def test_a_page_read_before_the_flush_does_not_undo_it(world: World) -> None:
    await world.hold(_8_8_8_8="DE")
    world.says = {IP: FRANCE}
    await world.verify()
    await world.cache.load_from_db()
    assert world.cache.known(IP) == FRANCE


# --- its manners ---


def memory_of(count: int, *, max_dirty: int = 1_000_000) -> Memory:
    memory = Memory(ManualClock(), max_entries=1_000_000, max_dirty=max_dirty, flush_soon=lambda: None)
    for number in range(count):
        memory.table.put(f"8.8.{number // 256}.{number % 256}", Geo("DE"), 1)
    return memory


class Pauses:
    """A sleep that takes no time, and does something each time."""

    def __init__(self, work: Callable[[], object] = lambda: None) -> None:
        self.seconds: list[float] = []
        self._work = work

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self._work()


async def test_the_loop_is_left_to_others_for_as_long_as_a_step_took() -> None:
    now = 0.0

    def timer() -> float:
        return now

    def find(_ip: str) -> Geo | None:
        nonlocal now
        now += LONGEST_STEP / AT_ONCE / 2
        return None

    pauses = Pauses()
    await verify(memory_of(AT_ONCE * 10), find, sleep=pauses, timer=timer)
    assert pauses.seconds
    assert all(LONGEST_STEP <= seconds <= 2 * LONGEST_STEP for seconds in pauses.seconds)


async def test_it_waits_while_the_dirty_set_is_full() -> None:
    memory = memory_of(1_000, max_dirty=AT_ONCE)
    largest = 0

    def flush() -> None:
        nonlocal largest
        largest = max(largest, len(memory.dirty))
        memory.dirty.committed(memory.dirty.entries())

    pauses = Pauses(flush)
    assert await verify(memory, lambda _: FRANCE, sleep=pauses) == Verified(1_000, 1_000)
    assert 0 < largest <= 2 * AT_ONCE


async def test_entries_that_go_meanwhile_are_no_concern() -> None:
    memory = memory_of(1_000)
    ticks = iter(range(1_000_000))
    pauses = Pauses(memory.table.clear)
    result = await verify(memory, lambda _: FRANCE, sleep=pauses, timer=lambda: float(next(ticks)))
    assert result.changed < 1_000
    assert len(memory.table) == 0


def test_a_correction_of_an_entry_that_is_gone_is_no_entry() -> None:
    memory = memory_of(0)
    memory.correct(IP, FRANCE)
    assert (len(memory.table), len(memory.dirty)) == (0, 0)


def test_a_correction_remembers_what_the_row_holds() -> None:
    memory = memory_of(0)
    memory.table.put(IP, FULL, 5)
    memory.correct(IP, FRANCE)
    assert memory.dirty.entries() == [DirtyEntry(IP, FRANCE, 5, int(ManualClock().now()), FULL)]
