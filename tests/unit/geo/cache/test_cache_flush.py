"""Nothing is lost: when an entry leaves the dirty set, and what a failing database does to it."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from structlog.testing import capture_logs

from bangeod.clock import to_text
from bangeod.errors import StoreFullError, StoreLockedError, StoreRefusedError
from bangeod.geo.cache import dirty
from bangeod.geo.cache.dirty import MOST_REFUSED, REFUSED_RETRY
from bangeod.geo.cache.resolver import Found
from bangeod.model import UNKNOWN, DirtyEntry, Geo, Origin
from tests.support.fakes import FRANCE, GERMANY, RefusingStore, World

LOCKED = StoreLockedError("memory", "locked", "wait")
FULL = StoreFullError("memory", "full", "make room")
IPS = [f"8.8.8.{i}" for i in range(5)]


@pytest.fixture
def world() -> World:
    return World()


async def fill(world: World, ips: list[str], geo: Geo = GERMANY) -> None:
    world.local.places |= dict.fromkeys(ips, geo)
    await world.cache.lookup_batch(ips)


async def test_a_flush_writes_all_and_empties_the_dirty_set(world: World) -> None:
    await fill(world, IPS)
    assert await world.cache.flush_dirty() == 5
    assert world.cache.dirty == 0
    assert world.cache.entries == 5
    stamp = to_text(world.now)
    assert world.store.geo_cache[IPS[0]] == {**GERMANY._asdict(), "cached_at": stamp, "last_seen": stamp}


async def test_a_flush_of_nothing_needs_no_database(world: World) -> None:
    world.store.lost = True
    assert await world.cache.flush_dirty() == 0


async def test_an_entry_stays_until_its_transaction_has_committed(world: World) -> None:
    await fill(world, IPS)
    world.store.gate.clear()
    flushing = asyncio.create_task(world.cache.flush_dirty())
    for _ in range(5):
        await asyncio.sleep(0)
    assert world.cache.dirty == 5
    world.store.gate.set()
    assert await flushing == 5
    assert world.cache.dirty == 0


async def test_a_failing_database_keeps_what_is_not_committed(world: World) -> None:
    await fill(world, IPS)
    world.store.fail_next(FULL, after=1)
    with pytest.raises(StoreFullError):
        await world.cache.flush_dirty()
    assert set(world.dirty) == set(IPS) - world.store.geo_cache.keys()
    assert len(world.dirty) == 3
    assert await world.cache.flush_dirty() == 3
    assert set(world.store.geo_cache) == set(IPS)


async def test_an_entry_that_changed_since_stays(world: World) -> None:
    await world.cache.lookup_batch(IPS)
    world.store.gate.clear()
    flushing = asyncio.create_task(world.cache.flush_dirty())
    for _ in range(5):
        await asyncio.sleep(0)
    world.clock.advance(600)
    world.cache.clear_neg_cache()
    world.cache.adopt(world.resolver.ask_local([]))
    world.local.places[IPS[0]] = FRANCE
    world.cache.adopt(world.resolver.ask_local([IPS[0]]))
    world.store.gate.set()
    assert await flushing == 5
    assert world.dirty == {IPS[0]: DirtyEntry(IPS[0], FRANCE, world.now, world.now)}
    await world.cache.flush_dirty()
    assert world.store.geo_cache[IPS[0]]["country_code"] == "FR"


async def test_concurrent_flushes_write_each_entry_once(world: World) -> None:
    await fill(world, IPS)
    flushed = await asyncio.gather(*(world.cache.flush_dirty() for _ in range(3)))
    assert sorted(flushed) == [0, 0, 5]


async def test_a_flush_that_is_cancelled_keeps_what_is_not_committed_and_lets_the_next_one_go_on(world: World) -> None:
    await fill(world, IPS)
    flushing = asyncio.create_task(world.cache.flush_dirty())
    for _ in range(100):
        if world.cache.dirty < 5:
            break
        await asyncio.sleep(0)
    world.store.gate.clear()
    await asyncio.sleep(0)
    flushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flushing
    assert set(world.dirty) == set(IPS) - world.store.geo_cache.keys()
    world.store.gate.set()
    await world.cache.flush_dirty()
    assert set(world.store.geo_cache) == set(IPS)


async def test_a_flush_ends_when_its_time_is_up_and_keeps_what_it_did(world: World) -> None:
    await fill(world, IPS)
    assert await world.cache.flush_dirty(lambda: 0.0) == 2
    assert world.cache.dirty == 3
    assert len(world.store.geo_cache) == 2


async def test_the_web_apps_country_is_not_clobbered(world: World) -> None:
    await fill(world, IPS[:1])
    world.store.put_geo(IPS[0], country_code="FR")
    await world.cache.flush_dirty()
    assert world.store.geo_cache[IPS[0]]["country_code"] == "FR"


# --- the limit of the dirty set ---


async def test_a_full_dirty_set_asks_for_a_flush_once() -> None:
    world = World(max_dirty=2)
    for ip in IPS:
        await world.cache.lookup(ip)
    assert world.full == 1


async def test_what_is_new_is_answered_and_not_kept_where_twice_as_many_wait() -> None:
    world = World(max_dirty=2)
    world.local.places |= dict.fromkeys(IPS, GERMANY)
    with capture_logs() as lines:
        answers = await world.cache.lookup_batch(IPS)
        again = await world.cache.lookup(IPS[-1])
    assert [answer.geo for answer in [*answers, again]] == [GERMANY] * 6
    assert (set(world.dirty), world.cache.entries, world.cache.not_kept) == (set(IPS[:4]), 4, 2)
    assert [(line["event"], line["log_level"], line["waiting"]) for line in lines] == [("dirty_set_full", "warning", 4)]


async def test_rows_without_a_country_are_bounded_as_well() -> None:
    world = World(max_dirty=2)
    await world.cache.lookup_batch(IPS)
    assert (world.cache.dirty, world.cache.entries, world.cache.not_kept) == (4, 4, 1)


async def test_what_is_found_and_not_kept_is_no_longer_known_not_to_be_found() -> None:
    world = World(max_dirty=2)
    await world.cache.lookup_batch(IPS)
    world.cache.adopt({IPS[4]: Found(GERMANY, Origin.MMDB)})
    assert (world.cache.negative, world.cache.known(IPS[4])) == (4, None)


async def test_what_memory_holds_already_may_change_however_many_wait() -> None:
    world = World(max_dirty=2)
    await world.cache.lookup_batch(IPS)
    world.cache.adopt({IPS[0]: Found(FRANCE, Origin.MMDB)})
    assert world.dirty[IPS[0]].geo == FRANCE


async def test_what_was_not_kept_is_kept_once_there_is_room() -> None:
    world = World(max_dirty=2)
    await fill(world, IPS)
    await world.cache.flush_dirty()
    await fill(world, IPS[4:])
    assert set(world.dirty) == {IPS[4]}


async def test_that_too_many_wait_is_said_again_when_they_had_become_fewer() -> None:
    world = World(max_dirty=1)
    with capture_logs() as lines:
        await fill(world, IPS[:4])
        await world.cache.flush_dirty()
        await fill(world, IPS)
    assert [line["event"] for line in lines] == ["dirty_set_full", "dirty_set_recovered", "dirty_set_full"]


async def test_a_dirty_set_that_fills_again_asks_again() -> None:
    world = World(max_dirty=2)
    await fill(world, IPS[:2])
    await world.cache.flush_dirty()
    await fill(world, IPS[2:])
    assert world.full == 2


async def test_a_dirty_set_that_could_not_be_flushed_does_not_ask_with_each_entry() -> None:
    world = World(max_dirty=2)
    await fill(world, IPS[:2])
    world.store.fail_next(LOCKED)
    with pytest.raises(StoreLockedError):
        await world.cache.flush_dirty()
    await fill(world, IPS[2:])
    assert world.full == 1


# --- across a restart ---


async def test_what_could_not_be_written_is_written_by_the_next_process(world: World) -> None:
    await fill(world, IPS)
    left = world.cache.dirty_entries()
    heir = World()
    heir.cache.restore_dirty(left)
    assert heir.cache.lookup_cached_only(IPS[:1])[0].geo == GERMANY
    assert await heir.cache.flush_dirty() == 5


async def test_what_is_known_already_is_newer_than_what_is_restored(world: World) -> None:
    await fill(world, IPS[:1], FRANCE)
    world.cache.restore_dirty([DirtyEntry(IPS[0], GERMANY, world.now - 60, world.now - 60)])
    assert world.dirty[IPS[0]].geo == FRANCE


@pytest.mark.parametrize("ip", ["10.0.0.1", "x", "::ffff:8.8.8.8", "\ud800"])
async def test_what_is_no_canonical_routable_address_is_not_restored(world: World, ip: str) -> None:
    world.cache.restore_dirty([DirtyEntry(ip, GERMANY, 1, 1)])
    assert (world.cache.dirty, world.cache.entries) == (0, 0)


# --- rows that the database refuses ---


async def test_a_row_that_is_refused_does_not_keep_the_others_from_being_written() -> None:
    store = RefusingStore({IPS[1]})
    world = World(store)
    await fill(world, IPS)
    with capture_logs() as lines:
        assert await world.cache.flush_dirty() == 4
    assert set(world.dirty) == {IPS[1]}
    assert (world.cache.dirty, world.cache.refused) == (1, 1)
    assert [(line["event"], line["log_level"], line["ip"]) for line in lines] == [("row_refused", "warning", IPS[1])]


async def test_a_refusal_that_stays_is_said_once_and_then_its_end() -> None:
    store = RefusingStore({IPS[1], IPS[2]})
    world = World(store)
    await fill(world, IPS)
    with capture_logs() as lines:
        for _ in range(3):
            await world.cache.flush_dirty()
            world.clock.advance(REFUSED_RETRY)
        store.refuses.remove(IPS[1])
        await world.cache.flush_dirty()
        store.refuses.clear()
        assert world.cache.dirty == 1
        for _ in range(2):
            world.clock.advance(REFUSED_RETRY)
            await world.cache.flush_dirty()
    said = [line["event"] for line in lines if line["log_level"] != "debug"]
    assert said == ["row_refused", "row_accepted"]


async def test_a_refused_row_is_not_tried_again_for_an_hour() -> None:
    store = RefusingStore({IPS[1]})
    world = World(store)
    await fill(world, IPS)
    await world.cache.flush_dirty()
    attempts = store.attempts
    assert await world.cache.flush_dirty() == 0
    assert store.attempts == attempts
    store.refuses.clear()
    world.clock.advance(REFUSED_RETRY)
    assert await world.cache.flush_dirty() == 1


async def test_a_refused_row_that_changes_is_tried_again_at_once() -> None:
    store = RefusingStore({IPS[1]})
    world = World(store)
    await fill(world, IPS)
    await world.cache.flush_dirty()
    store.refuses.clear()
    world.clock.advance(86_400)
    await world.cache.see([IPS[1]])
    assert world.cache.refused == 0
    assert await world.cache.flush_dirty() == 1


async def test_a_table_that_refuses_everything_is_an_error_after_some_rows() -> None:
    ips = [f"8.8.8.{i}" for i in range(100)]
    store = RefusingStore(ips)
    world = World(store)
    await fill(world, ips)
    with pytest.raises(StoreRefusedError):
        await world.cache.flush_dirty()
    assert world.cache.dirty == 100
    assert world.cache.refused == MOST_REFUSED
    assert store.attempts < 4 * MOST_REFUSED


async def test_rows_that_a_table_refuses_do_not_end_a_flush_that_writes_more_of_them() -> None:
    ips = [f"8.8.{i // 100}.{i % 100}" for i in range(300)]
    store = RefusingStore(ips[2::3])
    world = World(store)
    await fill(world, ips)
    assert await world.cache.flush_dirty() == 200
    assert world.cache.dirty == world.cache.refused == 100


async def test_many_addresses_that_begin_alike_are_sorted_in_turns_with_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dirty, "SORTED_AT_ONCE", 10)
    longest = 0

    def noting(part: Iterable[Any], **how: Any) -> list[Any]:
        nonlocal longest
        items = list(part)
        longest = max(longest, len(items))
        return sorted(items, **how)

    monkeypatch.setattr(dirty, "sorted", noting, raising=False)
    entries = [DirtyEntry(f"2001:41d0::{number:x}", UNKNOWN, 1, 1) for number in (*range(1, 100, 2), *range(0, 100, 2))]
    assert await dirty.in_key_order(entries) == sorted(entries, key=lambda entry: entry.ip)
    assert longest == 10
