"""Backups and replication beside a job that writes in many slices: neither keeps the other from its end."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bangeod.clock import SystemClock
from bangeod.model import DirtyEntry, Geo
from bangeod.store.sqlite import giving_way, schema, slicing
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.giving_way import GivingWay
from bangeod.store.sqlite.readers import WalView
from bangeod.store.sqlite.store import SqliteStore
from tests.contract.values import NOW, write_all
from tests.support.companion import Companion
from tests.support.feed import DEADLINE

if TYPE_CHECKING:
    from sqlite3 import Connection

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="readers are seen by their locks, as Linux tells them")

COPYING, READING = "tests.support.web_app.copying", "tests.support.web_app.reading"
OLD = "2001-01-01T00:00:00Z"
ROWS = 60_000  # whose deletion takes longer than it takes to notice who reads
RUN = 60.0  # seconds that a job has


class Waits(GivingWay):
    """Notes what the policy decides."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses = asyncio.Event()

    def waits(self, now: float, view: WalView | None, *, time_left: float, size: int) -> bool:
        waits = super().waits(now, view, time_left=time_left, size=size)
        if waits:
            self.pauses.set()
        return waits


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Make a database whose copy takes many steps."""
    path = tmp_path / "bangui.db"
    schema.create(path)
    with closing(engine.connect(path, isolation_level=None)) as connection:
        connection.execute(
            "INSERT INTO sessions (token, expires_at) WITH RECURSIVE n(i) AS"
            " (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ?) SELECT printf('%0128d', i), ? FROM n",
            (ROWS, OLD),
        )
    return path


@pytest.fixture
def web_app(path: Path) -> Iterator["Connection"]:
    with closing(engine.connect(path, isolation_level=None)) as connection:
        yield connection


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, busy_timeout=5.0, max_lock_time=0.01, clock=SystemClock())
    await store.prepare()
    yield store
    await store.close()


@pytest.fixture
def policy(store: SqliteStore) -> Waits:
    store._gate._giving_way = policy = Waits()
    return policy


def time_left() -> float:
    return RUN


async def flush(store: SqliteStore) -> None:
    """Write a long dirty set."""
    entries = [DirtyEntry(f"8.{i >> 16}.{i >> 8 & 255}.{i & 255}", Geo("US"), NOW, NOW) for i in range(ROWS)]
    async for _ in store.write(entries, time_left=time_left):
        pass


async def cleanup(store: SqliteStore) -> None:
    async for _ in store.delete_expired(NOW, time_left=time_left):
        pass


@pytest.mark.parametrize(("work", "pages"), [(cleanup, 5), (cleanup, 1_000), (flush, 100)])
async def test_a_job_gives_way_to_backups_in_steps_and_both_get_to_their_end(
    store: SqliteStore,
    policy: Waits,
    path: Path,
    pages: int,
    work: "Callable[[SqliteStore], Coroutine[None, None, None]]",
) -> None:
    copy = path.with_name("copy.db")
    with Companion(COPYING, path, copy, pages) as copying:
        await asyncio.to_thread(copying.output.readline)
        job = asyncio.ensure_future(work(store))
        async with asyncio.timeout(DEADLINE):
            await policy.pauses.wait()
        assert not job.done()
        made = int(await asyncio.to_thread(copying.end))
    await job
    assert made > 0
    with closing(engine.connect(copy)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_a_job_that_is_cancelled_in_a_pause_ends_at_once(store: SqliteStore, policy: Waits, path: Path) -> None:
    """At the stop nobody waits for a backup; nor does the flush that follows."""
    with Companion(COPYING, path, path.with_name("copy.db"), 100) as copying:
        await asyncio.to_thread(copying.output.readline)
        job = asyncio.ensure_future(cleanup(store))
        async with asyncio.timeout(DEADLINE):
            await policy.pauses.wait()
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        policy.pauses.clear()
        await write_all(store, [DirtyEntry("8.8.8.8", Geo("US"), NOW, NOW)])
        assert not policy.pauses.is_set()


async def test_the_log_stays_short_while_the_job_waits_for_a_long_read(
    store: SqliteStore, policy: Waits, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(giving_way, "FROM_BEFORE", -1.0)  # it is there from the begin, and counts as having come later
    with Companion(READING, path) as reading:
        await asyncio.to_thread(reading.output.readline)
        job = asyncio.ensure_future(cleanup(store))
        async with asyncio.timeout(DEADLINE):
            await policy.pauses.wait()
        wal = (await store.sizes()).wal
        await asyncio.to_thread(reading.end)
        await job
    assert wal is not None
    assert wal < slicing.MOST_WAL / 2


async def test_beside_a_reader_that_never_ends_the_log_may_grow_and_the_job_ends(
    store: SqliteStore, policy: Waits, path: Path, web_app: "Connection"
) -> None:
    """It is there before the job, as a replicator is, and is not waited for."""
    with Companion(READING, path) as reading:
        await asyncio.to_thread(reading.output.readline)
        await cleanup(store)
        wal = (await store.sizes()).wal
    assert not policy.pauses.is_set()
    assert web_app.execute("SELECT count(*) FROM sessions").fetchone() == (0,)
    assert wal is not None
    assert wal > slicing.LONG_WAL * 4_096
    assert wal < 1.2 * slicing.MOST_WAL
