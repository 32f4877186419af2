"""The WAL while bangeod writes much: it grows beside a read mark, and nothing of that is left afterwards."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bangeod.clock import SystemClock
from bangeod.store.sqlite import connection, queries, schema, slicing
from bangeod.store.sqlite.connection import SharedFile
from bangeod.store.sqlite.copied_over import KNOWS_THE_WAL
from bangeod.store.sqlite.engine import IS_SAFE, engine
from bangeod.store.sqlite.store import SqliteStore
from tests.contract.values import NOW, entry, total, write_all

if TYPE_CHECKING:
    from sqlite3 import Connection

pytestmark = pytest.mark.skipif(not (IS_SAFE and KNOWS_THE_WAL), reason="not with this SQLite")

ROWS = 30_000  # stale ones: enough for some thousand frames
AUTOCHECKPOINT = 1_000  # frames; sqlite.org/pragma.html#pragma_wal_autocheckpoint


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "bangui.db"
    schema.create(path)
    return path


@pytest.fixture
def web_app(path: Path) -> Iterator["Connection"]:
    """Open the database with SQLite's own settings; the rows are in no order of their addresses."""
    with closing(engine.connect(path, isolation_level=None)) as opened:
        opened.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ?)"
            " INSERT INTO geo_cache (ip, last_seen)"
            " SELECT '8.' || (i * 7919 % 251) || '.' || (i >> 8 & 255) || '.' || (i & 255), ? FROM n",
            (ROWS, "2001-01-01T00:00:00Z"),
        )
        opened.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        yield opened


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, busy_timeout=1.0, max_lock_time=0.01, clock=SystemClock())
    yield store
    await store.close()


def wal(web_app: "Connection") -> tuple[int, int]:
    """Return how many frames the WAL has, and how many of them are in the database."""
    _, frames, moved = web_app.execute(queries.LENGTH_OF_WAL).fetchone()
    return frames, moved


def log_in(web_app: "Connection") -> None:
    web_app.execute("INSERT INTO sessions (token, expires_at) VALUES (random(), '2099-01-01T00:00:00Z')")


async def past_a_long_wal(store: SqliteStore, web_app: "Connection") -> None:
    """Delete until the WAL is so long that the web app's commits try to checkpoint, then leave."""
    await store.prepare()
    async with aclosing(store.delete_stale(NOW, keep=lambda _key: False)) as slices:
        async for _ in slices:
            if wal(web_app)[0] > AUTOCHECKPOINT:
                return
    pytest.fail("the WAL never grew")


async def test_the_web_app_moves_nothing_while_it_is_long(store: SqliteStore, web_app: "Connection") -> None:
    await store.prepare()
    moved = []
    async with aclosing(store.delete_stale(NOW, keep=lambda _key: False)) as slices:
        async for _ in slices:
            before, _ = wal(web_app)
            if before > AUTOCHECKPOINT:
                moved.append(-wal(web_app)[1])
                log_in(web_app)
                moved[-1] += wal(web_app)[1]
    assert len(moved) > 1
    assert set(moved) == {0}


async def test_what_was_moved_is_written_out_while_writes_go_on_and_others_find_nothing_to_move(
    store: SqliteStore, web_app: "Connection", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slicing, "MARKED_WAL", 2 * AUTOCHECKPOINT * 4096)
    ends = asyncio.Event()
    lengths = []

    async def write_out(file: SharedFile, dirty: int) -> None:
        assert dirty > AUTOCHECKPOINT * 4096
        lengths.append(wal(web_app)[0])
        log_in(web_app)
        frames, moved = wal(web_app)
        assert moved < frames
        web_app.execute(queries.CHECKPOINT).fetchall()
        assert wal(web_app)[1] == moved
        assert file.is_marked
        await ends.wait()

    monkeypatch.setattr(SharedFile, "write_out", write_out)
    await store.prepare()
    longest = 0
    async with aclosing(store.delete_stale(NOW, keep=lambda _key: False)) as slices:
        async for _ in slices:
            longest = max(longest, wal(web_app)[0])
            if lengths and longest > lengths[0] + AUTOCHECKPOINT:
                ends.set()
    assert ends.is_set()
    frames, moved = wal(web_app)
    assert frames == moved


async def test_before_its_last_checkpoint_nothing_is_to_be_written_where_somebody_waits(
    store: SqliteStore, web_app: "Connection", monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[tuple[int, int]] = []

    def write_out(descriptor: int, _dirty: int) -> None:
        assert os.path.samestat(os.fstat(descriptor), store._file.path.stat())
        with closing(engine.connect(store._file.path)) as another:  # this may be another thread
            moved.append(wal(another))

    monkeypatch.setattr(connection, "write_out", write_out)
    await store.prepare()
    await total(store.delete_stale(NOW, keep=lambda _key: False))
    assert moved
    assert all(frames == there for frames, there in moved)


async def test_it_is_empty_at_the_end(store: SqliteStore, web_app: "Connection") -> None:
    await store.prepare()
    deleted = await total(store.delete_stale(NOW, keep=lambda _key: False))
    assert len(deleted.keys) > ROWS / 2
    frames, moved = wal(web_app)
    assert frames == moved
    log_in(web_app)
    assert wal(web_app)[0] < AUTOCHECKPOINT


async def test_it_is_empty_after_a_run_that_was_left_early(store: SqliteStore, web_app: "Connection") -> None:
    await past_a_long_wal(store, web_app)
    frames, moved = wal(web_app)
    assert frames == moved


async def test_it_is_empty_after_a_run_that_was_cancelled(store: SqliteStore, web_app: "Connection") -> None:
    await store.prepare()
    running = asyncio.create_task(total(store.delete_stale(NOW, keep=lambda _key: False)))
    while wal(web_app)[0] <= AUTOCHECKPOINT:  # noqa: ASYNC110 - the database has no event to wait for
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    frames, moved = wal(web_app)
    assert frames == moved


async def test_a_mark_that_nobody_removes_ends_by_itself(
    store: SqliteStore, web_app: "Connection", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LONGEST_MARK", 0.0)
    await store.prepare()
    log_in(web_app)
    assert await store._file.mark()
    while store._file.is_marked:  # noqa: ASYNC110 - SQLite's thread removes it
        await asyncio.sleep(0)
    log_in(web_app)
    web_app.execute(queries.CHECKPOINT).fetchall()
    frames, moved = wal(web_app)
    assert frames == moved


async def test_another_database_can_come_beneath_it(store: SqliteStore, path: Path, web_app: "Connection") -> None:
    await store.prepare()
    log_in(web_app)
    assert await store._file.mark()
    log_in(web_app)
    web_app.close()
    new = path.with_name("new.db")
    schema.create(new)
    with closing(engine.connect(new)) as opened:
        opened.execute("PRAGMA journal_mode = DELETE").fetchall()
    new.rename(path)
    assert await store.prepare()
    assert await write_all(store, [entry("9.9.9.9", "FR")])
    with closing(engine.connect(path)) as opened:
        assert opened.execute("SELECT count(*) FROM geo_cache").fetchone() == (1,)
