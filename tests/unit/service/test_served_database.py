"""The database that the daemon serves: what is made sure of before each job."""

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bangeod.errors import StoreError
from bangeod.service.lock import DatabaseLock
from bangeod.service.served_database import ServedDatabase
from bangeod.store.memory import MemoryStore
from tests.support.fakes import World

IP = "8.8.8.8"


class Replaceable(MemoryStore):
    """A store that may be found to be another one."""

    def __init__(self) -> None:
        super().__init__()
        self.is_new = True

    async def prepare(self) -> bool:
        await super().prepare()
        is_new, self.is_new = self.is_new, False
        return is_new


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


@pytest.fixture
def database(path: Path, lock: DatabaseLock, store: Replaceable, world: World) -> ServedDatabase:
    return ServedDatabase(path, lock, store, world.cache)


async def test_the_lock_is_taken_and_the_cache_filled_once_however_many_ask(
    database: ServedDatabase, lock: DatabaseLock, world: World
) -> None:
    world.store.put_geo(IP, country_code="DE")
    with capture_logs() as lines:
        await asyncio.gather(database.ready(), database.ready())
    assert lock.held
    assert world.cache.known(IP)
    assert lines == [{"event": "geo_cache_loaded", "log_level": "info", "rows": 1, "entries": 1}]
    assert database.problem is None


async def test_a_database_that_was_replaced_is_read_anew(
    database: ServedDatabase, store: Replaceable, world: World
) -> None:
    store.put_geo(IP, country_code="DE")
    await database.ready()
    store.geo_cache.clear()
    store.put_geo("9.9.9.9", country_code="FR")
    store.is_new = True
    with capture_logs() as lines:
        await database.ready()
    assert world.cache.known(IP) is None
    assert world.cache.known("9.9.9.9") is not None
    assert [line["event"] for line in lines] == ["database_replaced", "geo_cache_loaded"]


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
    database: ServedDatabase, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> int:
        raise StoreError("memory", "is broken", "mend it")

    with monkeypatch.context() as broken, capture_logs() as lines:
        broken.setattr(world.cache, "load_from_db", fail)
        await database.ready()
        await database.ready()
        assert database.problem == "is broken"
    assert [line["event"] for line in lines] == ["geo_cache_not_loaded"]
    await database.ready()
    assert world.cache.loaded
    assert not database.problem
