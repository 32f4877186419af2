"""What the cache holds: entries loaded and evicted, when they were last seen, what goes and what stays."""

import asyncio
from collections.abc import Container, Iterable, Mapping
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod.clock import SECONDS_A_DAY, to_text
from bangeod.errors import StoreLockedError
from bangeod.geo.cache.contents import Memory
from bangeod.geo.cache.resolver import Found
from bangeod.model import UNKNOWN, DirtyEntry, Geo, Origin, Row, Status
from tests.support.fakes import FRANCE, GERMANY, World
from tests.support.manual_clock import ManualClock

IP, OTHER, THIRD, FOURTH = "8.8.8.8", "9.9.9.9", "1.1.1.1", "1.0.0.1"
DAY = SECONDS_A_DAY


@pytest.fixture
def world() -> World:
    return World()


# --- last_seen ---

BEFORE_1970, AFTER_2106 = "1969-07-20T20:17:40Z", "2150-01-01T00:00:00Z"


async def test_a_row_seen_before_1970_is_seen_when_it_is_looked_up_or_corrected(world: World) -> None:
    """Memory keeps no time before 1970: such an entry counts as never seen."""
    for ip in (IP, OTHER):
        world.store.put_geo(ip, country_code="DE", last_seen=BEFORE_1970)
    await world.cache.load_from_db()
    world.cache.lookup_cached_only([IP])
    world.cache._memory.correct(OTHER, FRANCE)
    assert {ip: entry.last_seen for ip, entry in world.dirty.items()} == {IP: world.now, OTHER: world.now}
    await world.cache.flush_dirty()
    assert world.store.geo_cache[IP]["last_seen"] == world.store.geo_cache[OTHER]["last_seen"] == to_text(world.now)


async def test_a_row_seen_after_2106_keeps_its_time_whatever_is_written(world: World) -> None:
    """Memory keeps no time after 2106; the row has the later one, and that stays."""
    for ip in (IP, OTHER):
        world.store.put_geo(ip, country_code="DE", last_seen=AFTER_2106)
    await world.cache.load_from_db()
    world.cache.lookup_cached_only([IP])
    assert world.cache.dirty == 0
    world.cache._memory.correct(OTHER, FRANCE)
    await world.cache.flush_dirty()
    assert world.store.geo_cache[OTHER]["country_code"] == "FR"
    assert world.store.geo_cache[IP]["last_seen"] == world.store.geo_cache[OTHER]["last_seen"] == AFTER_2106


async def test_a_lookup_moves_last_seen_once_a_day(world: World) -> None:
    world.store.put_geo(IP, country_code="DE", last_seen=to_text(world.now - DAY + 10))
    await world.cache.load_from_db()
    world.cache.lookup_cached_only([IP])
    assert world.cache.dirty == 0
    world.clock.advance(10)
    world.cache.lookup_cached_only([IP])
    assert world.dirty[IP].last_seen == world.now
    await world.cache.flush_dirty()
    world.cache.lookup_cached_only([IP])
    assert world.cache.dirty == 0
    assert world.store.geo_cache[IP]["last_seen"] == to_text(world.now)


async def test_a_row_found_by_a_lookup_is_seen(world: World) -> None:
    world.store.put_geo(IP, country_code="DE", last_seen=to_text(world.now - 80 * DAY))
    await world.cache.lookup(IP)
    await world.cache.flush_dirty()
    assert world.store.geo_cache[IP]["last_seen"] == to_text(world.now)


async def test_an_entry_waiting_to_be_written_keeps_its_country_when_it_is_seen(world: World) -> None:
    world.local.places[IP] = GERMANY
    await world.cache.lookup(IP)
    world.clock.advance(DAY)
    await world.cache.see([IP, OTHER])
    assert world.dirty == {IP: DirtyEntry(IP, GERMANY, world.now, world.now - DAY)}


async def test_a_clock_that_was_ahead_does_not_make_last_seen_go_back(world: World) -> None:
    world.local.places[IP] = GERMANY
    await world.cache.lookup(IP)
    seen = world.now
    await world.cache.flush_dirty()
    world.clock.step(-5 * DAY)
    await world.cache.lookup(IP)
    assert world.cache.dirty == 0
    assert world.store.geo_cache[IP]["last_seen"] == to_text(seen)


async def test_what_a_job_resolves_is_not_seen_by_that(world: World) -> None:
    world.cache.adopt({IP: Found(GERMANY, Origin.MMDB), OTHER: Found(GERMANY, Origin.MMDB)}, {IP: 1_700_000_000})
    assert world.dirty[IP].last_seen == 1_700_000_000
    assert world.dirty[OTHER].last_seen == world.now


async def test_a_lookup_that_is_not_written_yet_is_not_undone_by_what_a_job_resolves(world: World) -> None:
    await world.cache.lookup(IP)
    world.cache.adopt({IP: Found(GERMANY, Origin.MMDB)}, {IP: 1_700_000_000})
    assert world.dirty[IP] == DirtyEntry(IP, GERMANY, world.now, world.now)


# --- loading ---


async def test_loading_takes_what_is_routable(world: World) -> None:
    for key in (IP, "::ffff:9.9.9.9", "2A00::AB", "10.0.0.1", "nonsense", b"blob"):
        world.store.put_geo(key, country_code="DE")
    assert await world.cache.load_from_db() == 3
    assert world.cache.loaded
    assert world.cache.entries == 3
    assert [a.origin for a in world.cache.lookup_cached_only([IP, OTHER, "2a00::ab"])] == [Origin.MEMORY] * 3


@pytest.mark.parametrize("keys", [(IP, "::ffff:8.8.8.8"), ("::ffff:8.8.8.8", IP)])
async def test_of_two_rows_of_an_address_the_one_with_a_country_counts(world: World, keys: tuple[str, str]) -> None:
    world.store.put_geo(keys[0], country_code="DE", last_seen=to_text(world.now - DAY))
    world.store.put_geo(keys[1], last_seen=to_text(world.now))
    await world.cache.load_from_db()
    assert world.cache.known(IP) == Geo("DE")
    assert world.cache.entries == 1


async def test_what_waits_to_be_written_is_newer_than_its_row(world: World) -> None:
    world.local.places[IP] = GERMANY
    await world.cache.lookup(IP)
    world.store.put_geo(IP, country_code="FR")
    await world.cache.load_from_db()
    assert world.cache.known(IP) == GERMANY
    assert world.dirty[IP].geo == GERMANY


async def test_a_country_that_the_web_app_found_is_taken_up_although_a_row_without_one_waits(world: World) -> None:
    await world.cache.lookup(IP)
    world.store.put_geo(IP, country_code="FR", last_seen=to_text(world.now))
    await world.cache.load_from_db()
    assert world.cache.lookup_cached_only([IP])[0].geo == Geo("FR")
    await world.cache.flush_dirty()
    assert world.store.geo_cache[IP]["country_code"] == "FR"


async def test_lookups_are_answered_while_the_database_is_loaded(world: World) -> None:
    for i in range(20):
        world.store.put_geo(f"8.8.8.{i}", country_code="DE")
    loading = asyncio.create_task(world.cache.load_from_db())
    await asyncio.sleep(0)
    assert (await world.cache.lookup("8.8.8.19")).status is Status.RESOLVED
    assert not loading.done()
    assert await loading == 20


async def test_a_load_that_fails_keeps_what_it_got(world: World) -> None:
    for i in range(6):
        world.store.put_geo(f"8.8.8.{i}", country_code="DE")
    world.store.fail_next(StoreLockedError("memory", "locked", "wait"), after=1)
    with pytest.raises(StoreLockedError):
        await world.cache.load_from_db()
    assert not world.cache.loaded
    assert world.cache.entries == 3
    assert await world.cache.load_from_db() == 6


# --- forgetting ---


async def test_clear_keeps_what_waits_to_be_written(world: World) -> None:
    world.store.put_geo(IP, country_code="DE", last_seen=to_text(world.now))
    await world.cache.load_from_db()
    world.local.places[OTHER] = FRANCE
    await world.cache.lookup_batch([OTHER, THIRD])
    world.cache.clear()
    assert not world.cache.loaded
    assert (world.cache.known(IP), world.cache.known(OTHER), world.cache.known(THIRD)) == (None, FRANCE, UNKNOWN)
    assert (world.cache.dirty, world.cache.negative) == (2, 0)


async def test_rows_that_were_deleted_leave_memory(world: World) -> None:
    for key in (IP, "::ffff:9.9.9.9"):
        world.store.put_geo(key, country_code="DE", last_seen=to_text(world.now))
    await world.cache.load_from_db()
    world.store.geo_cache.clear()
    world.cache.forget([IP, "::ffff:9.9.9.9", "nonsense"])
    assert world.cache.entries == 0
    world.local.places[IP] = FRANCE
    assert (await world.cache.lookup(IP)).geo == FRANCE


async def test_what_waits_to_be_written_is_not_forgotten(world: World) -> None:
    world.local.places[IP] = GERMANY
    await world.cache.lookup(IP)
    world.cache.forget([IP])
    assert world.cache.known(IP) == GERMANY


async def test_the_entries_seen_longest_ago_make_room(world: World) -> None:
    for age, ip in enumerate((IP, OTHER, THIRD, FOURTH)):
        world.store.put_geo(ip, country_code="DE", last_seen=to_text(world.now - age * DAY // 2))
    world.cache.limit(max_entries=3, max_dirty=100)
    await world.cache.load_from_db()
    assert world.cache.entries == 3
    assert world.cache.known(FOURTH) is None


async def test_what_waits_to_be_written_does_not_make_room(world: World) -> None:
    world.cache.limit(max_entries=2, max_dirty=100)
    for ip in (IP, OTHER, THIRD, FOURTH):
        await world.cache.lookup(ip)
        world.clock.advance(1)
    assert (world.cache.entries, world.cache.dirty) == (4, 4)
    await world.cache.flush_dirty()
    world.cache.limit(max_entries=2, max_dirty=100)
    assert world.cache.entries == 2
    assert world.cache.known(FOURTH) == UNKNOWN


async def test_a_row_whose_time_cannot_be_read_may_be_looked_up_in_a_full_cache(world: World) -> None:
    world.cache.limit(max_entries=1, max_dirty=100)
    for ip in (IP, OTHER):
        world.store.put_geo(ip, country_code="DE", last_seen="long ago")
    answers = await world.cache.lookup_batch([IP, OTHER])
    assert [answer.geo for answer in answers] == [Geo("DE")] * 2


async def test_an_evicted_entry_comes_back_from_its_row(world: World) -> None:
    world.cache.limit(max_entries=1, max_dirty=100)
    world.local.places |= {IP: GERMANY, OTHER: FRANCE}
    for ip in (IP, OTHER):
        await world.cache.lookup(ip)
        await world.cache.flush_dirty()
        world.clock.advance(1)
    assert world.cache.known(IP) is None
    assert (await world.cache.lookup(IP)).origin is Origin.DATABASE


async def test_banned_addresses_are_seen_through_their_rows(world: World) -> None:
    old = world.now - 5 * DAY
    world.store.put_geo("::ffff:8.8.8.8", country_code="DE", last_seen=to_text(old))
    world.cache.take_rows({IP: Row("::ffff:8.8.8.8", Geo("DE"), old)})
    await world.cache.flush_dirty()
    assert list(world.store.geo_cache) == ["::ffff:8.8.8.8"]
    assert world.store.geo_cache["::ffff:8.8.8.8"]["last_seen"] == to_text(world.now)


# --- many at once ---

FOUND = st.builds(
    Found, st.sampled_from([GERMANY, FRANCE, UNKNOWN, Geo(asn="AS1"), Geo(asn="AS2", org="Two")]), st.just(Origin.MMDB)
)
SOME = st.sampled_from([IP, OTHER, THIRD, FOURTH, "2a00::1", "2606:4700:4700::1111"])
STEPS = st.one_of(
    st.tuples(st.just("adopt"), st.dictionaries(SOME, FOUND), st.dictionaries(SOME, st.integers(0, 99))),
    st.tuples(st.just("add_rows"), st.lists(SOME), st.sets(SOME)),
    st.tuples(st.just("not_found"), st.lists(SOME)),
    st.tuples(st.just("load"), st.lists(st.builds(Row, SOME, st.sampled_from([GERMANY, UNKNOWN]), st.just(5)))),
    st.tuples(st.just("written")),
)


class OneByOne(Memory):
    """Memory that takes in together only what is one."""

    def adopt(self, found: Mapping[str, Found], seen: Mapping[str, int]) -> dict[str, Found]:
        whole: dict[str, Found] = {}
        for ip, known in found.items():
            whole |= super().adopt({ip: known}, seen)
        return whole

    def add_rows(self, ips: Iterable[str], *, rowless: Container[str] = ()) -> None:
        for ip in ips:
            super().add_rows([ip], rowless=rowless)


@given(steps=st.lists(STEPS, max_size=8), max_dirty=st.integers(1, 4))
def test_many_together_are_taken_in_as_they_would_be_one_by_one(steps: list[Any], max_dirty: int) -> None:
    told: list[list[str]] = [[], []]
    both = [
        kind(ManualClock(), max_entries=100, max_dirty=max_dirty, flush_soon=partial(list.append, calls, "full"))
        for kind, calls in zip((Memory, OneByOne), told, strict=True)
    ]
    for step, *arguments in steps:
        results = [taken(memory, step, arguments) for memory in both]
        assert results[0] == results[1]
        held, expected = (
            (
                sorted(memory.table.items()),
                {entry.ip: entry for entry in memory.dirty.entries()},
                {ip for ip in (IP, OTHER, THIRD, FOURTH) if memory.negative.holds(ip, 0.0)},
            )
            for memory in both
        )
        if len(expected[1]) < 2 * max_dirty:  # above it, which of them are kept may differ
            assert held == expected
        assert told[0] == told[1]


def taken(memory: Memory, step: str, arguments: Any) -> object:
    match step:
        case "adopt":
            return memory.adopt(arguments[0], arguments[1])
        case "add_rows":
            memory.add_rows(arguments[0], rowless=arguments[1])
        case "written":
            memory.dirty.committed(memory.dirty.entries())
            memory.flushed()
        case _:
            getattr(memory, step)(*arguments)
    return None


async def test_what_memory_did_not_know_is_found_without_asking_it_again(world: World) -> None:
    world.local.places[IP] = GERMANY
    world.store.put_geo(OTHER, country_code="FR")
    asked = [IP, OTHER, THIRD, "10.0.0.1", "none"]
    found = await world.cache.lookup_unknown(asked)
    assert [(answer.ip, answer.status, answer.geo.country_code) for answer in found] == [
        (IP, Status.RESOLVED, "DE"),
        (OTHER, Status.RESOLVED, "FR"),
        (THIRD, Status.UNRESOLVED, None),
        ("10.0.0.1", Status.PRIVATE, None),
        ("none", Status.INVALID, None),
    ]


async def test_what_became_known_meanwhile_is_the_answer_all_the_same(world: World) -> None:
    world.cache.adopt({IP: Found(GERMANY, Origin.IP_API)})
    (answer,) = await world.cache.lookup_unknown([IP])
    assert answer.geo == GERMANY
