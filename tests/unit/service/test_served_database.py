"""The database that the daemon serves: what is made sure of before each job."""

import asyncio
import gc
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bangeod.errors import StoreError
from bangeod.model import Geo
from bangeod.service.lock import DatabaseLock
from bangeod.service.served_database import ServedDatabase
from bangeod.store.memory import MemoryStore
from bangeod.store.port import Page
from tests.support.fakes import World
from tests.support.feed import DEADLINE

IP = "8.8.8.8"


class Replaceable(MemoryStore):
    """A store that may be found to be another one."""

    def __init__(self) -> None:
        super().__init__()
        self.is_new = True
        self.closed_by_prepare: StoreError | None = None  # what a walk meets that goes on beside the opening
        self.hold_rows = asyncio.Event()  # pages that have been read are handed over
        self.hold_rows.set()

    async def prepare(self) -> bool:
        await super().prepare()
        if self.closed_by_prepare:
            self._broken, self.closed_by_prepare = self.closed_by_prepare, None
            self.hold_rows.set()
            await settled()
        is_new, self.is_new = self.is_new, False
        return is_new

    _broken: StoreError | None = None

    async def rows(self) -> AsyncGenerator[Page, None]:
        async for page in super().rows():
            await self.hold_rows.wait()
            if self._broken:
                error, self._broken = self._broken, None
                raise error
            yield page


@pytest.fixture
def store() -> Replaceable:
    return Replaceable()


@pytest.fixture
def world(store: Replaceable) -> World:
    return World(store)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bangui.db"


@pytest.fixture
def lock(path: Path) -> Iterator[DatabaseLock]:
    lock = DatabaseLock(path)
    yield lock
    lock.release()
    gc.unfreeze()  # what was loaded is frozen


class Serving:
    """A served database whose cache is kept loaded, as the daemon keeps it."""

    def __init__(self, database: ServedDatabase, changed: asyncio.Event) -> None:
        self._changed = changed
        self._keeping = asyncio.create_task(database.keep_loaded())

    async def changed(self) -> None:
        """Wait until the cache has been filled, or could not be."""
        await asyncio.wait_for(self._changed.wait(), DEADLINE)
        self._changed.clear()

    async def stop(self) -> None:
        self._keeping.cancel()
        await asyncio.gather(self._keeping, return_exceptions=True)


@pytest.fixture
def changed() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
def database(
    path: Path, lock: DatabaseLock, store: Replaceable, world: World, changed: asyncio.Event
) -> ServedDatabase:
    return ServedDatabase(str(path), lock, store, world.cache, on_change=changed.set)


@pytest.fixture
async def serving(database: ServedDatabase, changed: asyncio.Event) -> AsyncIterator[Serving]:
    serving = Serving(database, changed)
    yield serving
    await serving.stop()


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_lock_is_taken_and_the_cache_filled_once_however_many_ask(
    database: ServedDatabase, serving: Serving, lock: DatabaseLock, world: World
) -> None:
    world.store.put_geo(IP, country_code="DE")
    with capture_logs() as lines:
        await asyncio.gather(database.ready(), database.ready())
        assert lock.held
        await serving.changed()
        await database.ready()
        await settled()
    assert world.cache.known(IP)
    assert lines == [{"event": "geo_cache_loaded", "log_level": "info", "rows": 1, "entries": 1}]
    assert database.problem is None


@pytest.mark.usefixtures("serving")
async def test_a_job_does_not_wait_for_the_load(database: ServedDatabase, store: Replaceable, world: World) -> None:
    store.put_geo(IP, country_code="DE")
    await database.ready()
    store.hold_rows.clear()
    await settled()
    await database.ready()
    assert not world.cache.loaded
    assert world.cache.progress == 0


async def test_a_database_that_was_replaced_is_read_anew(
    database: ServedDatabase, serving: Serving, store: Replaceable, world: World
) -> None:
    store.put_geo(IP, country_code="DE")
    await database.ready()
    await serving.changed()
    store.geo_cache.clear()
    store.put_geo("9.9.9.9", country_code="FR")
    store.is_new = True
    with capture_logs() as lines:
        await database.ready()
        assert (world.cache.loaded, world.cache.known(IP)) == (False, None)
        await serving.changed()
    assert world.cache.known(IP) is None
    assert world.cache.known("9.9.9.9") is not None
    assert [line["event"] for line in lines] == ["database_replaced", "geo_cache_loaded"]


async def test_a_database_replaced_while_it_is_read_leaves_nothing_in_memory(
    database: ServedDatabase, serving: Serving, store: Replaceable, world: World
) -> None:
    store.put_geo(IP, country_code="DE")
    store.hold_rows.clear()
    with capture_logs() as lines:
        await database.ready()
        await settled()
        assert world.cache.progress == 0  # its page has been read
        store.geo_cache.clear()
        store.put_geo("9.9.9.9", country_code="FR")
        store.is_new = True
        await database.ready()
        store.hold_rows.set()
        await serving.changed()  # the old load has ended
        await serving.changed()
    assert (world.cache.known(IP), world.cache.known("9.9.9.9")) == (None, Geo("FR"))
    assert [line["event"] for line in lines] == ["database_replaced", "geo_cache_loaded"]


async def test_a_load_that_fails_because_the_database_is_being_replaced_is_not_said(
    database: ServedDatabase, serving: Serving, store: Replaceable
) -> None:
    store.hold_rows.clear()
    store.put_geo(IP, country_code="DE")
    await database.ready()
    await settled()
    store.is_new, store.closed_by_prepare = True, StoreError("memory", "was replaced", "go on")
    with capture_logs() as lines:
        await database.ready()
        store.hold_rows.set()
        await serving.changed()
        await serving.changed()
    assert [line["event"] for line in lines] == ["database_replaced", "geo_cache_loaded"]


async def test_a_stop_ends_the_load(
    database: ServedDatabase, serving: Serving, store: Replaceable, world: World
) -> None:
    store.put_geo(IP, country_code="DE")
    store.hold_rows.clear()
    await database.ready()
    await settled()
    with capture_logs() as lines:
        await serving.stop()
        store.hold_rows.set()
        await settled()
    assert (world.cache.entries, world.cache.loaded, lines) == (0, False, [])


async def test_what_keeps_it_from_being_opened_is_its_problem_until_it_can_be(
    database: ServedDatabase, store: Replaceable
) -> None:
    store.fail_next(StoreError("memory", "is locked", "wait"))
    with pytest.raises(StoreError):
        await database.ready()
    assert database.problem is not None
    assert "is locked" in database.problem
    await database.ready()
    assert database.problem is None


async def test_that_it_can_not_be_read_is_said_once_and_no_reason_not_to_work(
    database: ServedDatabase, serving: Serving, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> int:
        raise StoreError("memory", "is broken", "mend it")

    with monkeypatch.context() as broken, capture_logs() as lines:
        broken.setattr(world.cache, "load_from_db", fail)
        for _ in range(2):
            await database.ready()
            await serving.changed()
        assert database.problem == "is broken"
    assert [line["event"] for line in lines] == ["geo_cache_not_loaded"]
    await database.ready()
    await serving.changed()
    assert world.cache.loaded
    assert not database.problem


async def test_the_table_is_read_again_on_demand_into_what_memory_has(
    database: ServedDatabase, serving: Serving, store: Replaceable, world: World
) -> None:
    store.put_geo(IP, country_code="DE")
    await database.ready()
    await serving.changed()
    store.put_geo(IP, country_code="FR")
    store.put_geo("9.9.9.9", country_code="FR")
    database.read_again()
    await serving.changed()
    assert world.cache.known(IP) == Geo("FR")
    assert world.cache.known("9.9.9.9") == Geo("FR")


async def test_a_table_that_could_not_be_read_again_is_with_the_next_job(
    database: ServedDatabase,
    serving: Serving,
    store: Replaceable,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail() -> int:
        raise StoreError("memory", "no server answers", "start it")

    store.put_geo(IP, country_code="DE")
    await database.ready()
    await serving.changed()
    store.put_geo(IP, country_code="FR")
    with monkeypatch.context() as broken:
        broken.setattr(world.cache, "load_from_db", fail)
        database.read_again()
        await serving.changed()
        assert database.problem == "no server answers"
    await database.ready()
    await serving.changed()
    assert not database.problem
    assert world.cache.known(IP) == Geo("FR")


async def test_a_table_that_was_not_opened_yet_is_not_read_again(
    database: ServedDatabase, serving: Serving, world: World
) -> None:
    database.read_again()
    await settled()
    assert not world.cache.loaded
    await serving.stop()
