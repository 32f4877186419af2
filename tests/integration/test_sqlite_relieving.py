"""The WAL that the web app alone makes long: bangeod checkpoints it, so that no commit of the web app's has to."""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bangeod.clock import SystemClock
from bangeod.store.sqlite import schema
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.readers import WalView
from bangeod.store.sqlite.store import SqliteStore
from bangeod.store.sqlite.wal_growth import LONG, LONGEST
from tests.contract.values import entry, write_all
from tests.support.companion import Companion
from tests.support.wal_state import wal_state

if TYPE_CHECKING:
    from sqlite3 import Connection

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the WAL is looked at as Linux has it")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    schema.create(tmp_path / "bangui.db")
    return tmp_path / "bangui.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, busy_timeout=0.05, max_lock_time=0.01, clock=SystemClock())
    await store.prepare()
    yield store
    await store.close()


@pytest.fixture
def web_app(path: Path, store: SqliteStore) -> Iterator["Connection"]:
    """Open the database with SQLite's own settings."""
    with closing(engine.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        yield connection


def log_in(connection: "Connection", frames: int) -> None:
    """Commit until the WAL has so many frames, or a few more."""
    while looked(connection).frames < frames:
        connection.execute("INSERT INTO sessions (token) VALUES (hex(randomblob(16)))")


def written(path: Path) -> int:
    return path.stat().st_mtime_ns


def move_away(path: Path, target: Path | None = None) -> None:
    path.rename(target or path.with_name("old.db"))


def looked(connection: "Connection") -> WalView:
    (_, _, path) = connection.execute("PRAGMA database_list").fetchone()
    return wal_state(Path(path))


async def test_a_long_wal_is_checkpointed_before_the_web_app_has_to(store: SqliteStore, web_app: "Connection") -> None:
    log_in(web_app, LONG)
    assert looked(web_app).moved == 0
    await store.empty_wal()
    assert looked(web_app).starts_over


async def test_a_short_one_is_left_as_it_is(store: SqliteStore, web_app: "Connection", path: Path) -> None:
    log_in(web_app, LONG // 2)
    before = looked(web_app), written(path)
    await store.empty_wal()
    assert (looked(web_app), written(path)) == before


async def test_the_lock_is_never_taken(store: SqliteStore, web_app: "Connection") -> None:
    log_in(web_app, LONG)
    web_app.execute("BEGIN IMMEDIATE")
    await store.empty_wal()
    web_app.execute("ROLLBACK")
    assert looked(web_app).starts_over


async def test_a_reader_who_holds_it_back_is_not_waited_for(
    store: SqliteStore, web_app: "Connection", path: Path
) -> None:
    log_in(web_app, 50)
    with Companion("tests.support.web_app.reading", path) as reading:
        reading.output.readline()
        log_in(web_app, LONG)
        await store.empty_wal()
        assert 0 < looked(web_app).moved < LONG
        before = looked(web_app)
        await store.empty_wal()
        assert looked(web_app) == before
        reading.end()


async def test_what_bangeod_writes_goes_on_beside_it(store: SqliteStore, web_app: "Connection") -> None:
    log_in(web_app, LONG)
    await store.empty_wal()
    assert len(await write_all(store, [entry("8.8.8.8", "US")])) == 1
    assert looked(web_app).frames < LONG


async def test_without_a_database_nothing_happens(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "missing.db", busy_timeout=0.01, max_lock_time=0.01, clock=SystemClock())
    assert await store.empty_wal() == LONGEST
    await store.close()


async def test_a_database_that_was_moved_away_is_left(store: SqliteStore, web_app: "Connection", path: Path) -> None:
    log_in(web_app, LONG)
    before = looked(web_app)
    move_away(path)
    await store.empty_wal()
    move_away(path.with_name("old.db"), path)
    assert looked(web_app) == before
