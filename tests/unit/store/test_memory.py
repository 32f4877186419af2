"""The faults that a memory store plays, and its small pages."""

import asyncio
from contextlib import aclosing

import pytest

from bangeod.errors import StoreFullError, StoreLockedError, StoreMissingError
from bangeod.model import DirtyEntry, Geo
from bangeod.store.memory import MemoryStore

NOW = 1_795_305_600  # seconds since the epoch
LOCKED = StoreLockedError("memory", "locked", "wait")
FULL = StoreFullError("memory", "full", "make room")
ENTRIES = [DirtyEntry(f"8.8.8.{i}", Geo("DE"), NOW, NOW) for i in range(5)]


async def written(store: MemoryStore) -> list[str]:
    async with aclosing(store.write(ENTRIES)) as slices:
        return [entry.ip async for part in slices for entry in part]


async def test_the_next_step_fails_once() -> None:
    store = MemoryStore()
    store.fail_next(LOCKED)
    with pytest.raises(StoreLockedError):
        await store.find([])
    assert await store.find([]) == {}


async def test_a_fault_may_come_after_some_slices_which_stay() -> None:
    store = MemoryStore(slice_size=2)
    store.fail_next(FULL, after=1)
    with pytest.raises(StoreFullError):
        await written(store)
    assert list(store.geo_cache) == ["8.8.8.0", "8.8.8.1"]
    assert len(await written(store)) == 5


async def test_faults_come_in_the_order_in_which_they_were_asked_for() -> None:
    store = MemoryStore()
    store.fail_next(LOCKED)
    store.fail_next(FULL)
    with pytest.raises(StoreLockedError):
        await store.prepare()
    with pytest.raises(StoreFullError):
        await store.prepare()
    assert await store.prepare() is True


async def test_a_lost_database_fails_until_it_is_found() -> None:
    store = MemoryStore()
    store.lost = True
    for _ in range(2):
        with pytest.raises(StoreMissingError):
            await store.prepare()
    store.lost = False
    assert await store.prepare() is True


async def test_a_step_waits_at_the_gate_and_can_be_cancelled_there() -> None:
    store = MemoryStore()
    store.gate.clear()
    waiting = asyncio.create_task(written(store))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert store.geo_cache == {}
    store.gate.set()
    assert len(await written(store)) == 5


async def test_slices_and_pages_have_the_sizes_asked_for() -> None:
    store = MemoryStore(page_size=3, slice_size=2)
    async with aclosing(store.write(ENTRIES)) as slices:
        assert [len(part) async for part in slices] == [2, 2, 1]
    async with aclosing(store.rows()) as pages:
        assert [len(page) async for page in pages] == [3, 2]
