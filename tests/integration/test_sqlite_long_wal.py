"""A WAL file that another program's great transaction has made long is shortened, unless somebody reads."""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bangeod.clock import SystemClock
from bangeod.store.sqlite import schema
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.readers import WalIndex
from bangeod.store.sqlite.shortening import FRAME_HEADER, STEP, USUAL_FRAMES
from bangeod.store.sqlite.store import SqliteStore
from tests.contract.values import entry, write_all
from tests.support.companion import Companion

if TYPE_CHECKING:
    from sqlite3 import Connection

READING = "tests.support.web_app.reading"
PAGE = 4_096
USUAL = USUAL_FRAMES * (PAGE + FRAME_HEADER)
LONG = 5 * USUAL


@pytest.fixture
def path(tmp_path: Path) -> Path:
    schema.create(tmp_path / "bangui.db")
    return tmp_path / "bangui.db"


@pytest.fixture
def web_app(path: Path) -> Iterator["Connection"]:
    with closing(engine.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version = 7")
        yield connection


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, busy_timeout=1.0, max_lock_time=0.01, clock=SystemClock())
    await store.prepare()
    yield store
    await store.close()


def write_at_once(web_app: "Connection") -> int:
    """Write so much in one transaction that the WAL becomes long; return the rows that there are then."""
    web_app.execute(
        "INSERT INTO sessions (token) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ?)"
        " SELECT hex(randomblob(?)) FROM n",
        (LONG // PAGE, PAGE // 2),
    )
    return count(web_app)


def count(web_app: "Connection") -> int:
    found: int = web_app.execute("SELECT count(*) FROM sessions").fetchone()[0]
    return found


async def length(store: SqliteStore) -> int:
    return (await store.sizes()).wal or 0


async def test_a_long_wal_is_brought_back_to_its_usual_length(store: SqliteStore, web_app: "Connection") -> None:
    rows = write_at_once(web_app)
    assert await length(store) > LONG
    await store.shorten_wal()
    assert await length(store) <= USUAL
    assert (count(web_app), web_app.execute("PRAGMA user_version").fetchone()) == (rows, (7,))
    assert web_app.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_that_follows_a_cleanup_too(store: SqliteStore, web_app: "Connection") -> None:
    write_at_once(web_app)
    await store.tidy()
    assert await length(store) <= USUAL


@pytest.mark.skipif(sys.platform != "linux", reason="commits are counted in the -shm")
async def test_the_room_is_given_back_in_steps(store: SqliteStore, web_app: "Connection", path: Path) -> None:
    """To give back a lot takes long, and the write lock is held meanwhile."""
    write_at_once(web_app)
    probe = WalIndex.of(path)
    assert probe is not None
    before = probe.look()
    await store.shorten_wal()
    after = probe.look()
    assert before is not None
    assert after is not None
    assert after.commits - before.commits >= LONG // STEP


@pytest.mark.skipif(sys.platform != "linux", reason="readers are seen by their locks, as Linux tells them")
async def test_while_somebody_reads_it_stays_as_it_is(store: SqliteStore, web_app: "Connection", path: Path) -> None:
    """A backup would begin anew when the WAL starts over."""
    write_at_once(web_app)
    web_app.execute("PRAGMA wal_checkpoint(FULL)").fetchall()
    with Companion(READING, path) as reading:
        reading.output.readline()
        before = await length(store)
        await store.shorten_wal()
        assert await length(store) == before
        reading.end()
    await store.shorten_wal()
    assert await length(store) <= USUAL


async def test_a_wal_of_usual_length_is_left_alone(store: SqliteStore, web_app: "Connection") -> None:
    web_app.execute("INSERT INTO sessions (token) VALUES (?)", ("x" * (USUAL * 2 // 3),))
    before = await length(store)
    await store.shorten_wal()
    assert await length(store) == before > USUAL


async def test_later_commits_shorten_nothing_at_once(store: SqliteStore, web_app: "Connection") -> None:
    write_at_once(web_app)
    await store.shorten_wal()
    write_at_once(web_app)
    before = await length(store)
    for number in range(2):  # the first may find a WAL that is not checkpointed, and does not start it over
        await write_all(store, [entry(f"8.8.8.{number}")])
    assert await length(store) == before


async def test_where_there_is_no_wal_there_is_nothing_to_do(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(engine.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
    store = SqliteStore(path, busy_timeout=0.1, max_lock_time=0.01, clock=SystemClock())
    await store.prepare()
    await store.shorten_wal()
    await store.close()
