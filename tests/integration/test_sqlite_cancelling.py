"""A cancelled piece of work on the shared connection is interrupted, and nothing else is."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bangeod.clock import SystemClock
from bangeod.store.sqlite import schema
from bangeod.store.sqlite.connection import SharedFile

if TYPE_CHECKING:
    from sqlite3 import Connection

COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {}) SELECT count(*) FROM n"


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[SharedFile]:
    path = tmp_path / "bangui.db"
    schema.create(path)
    file = SharedFile(path, busy_timeout=0.02, clock=SystemClock())
    await file.prepare()
    yield file
    await file.close()


def endless(running: threading.Event) -> "Callable[[Connection], object]":
    """Give a piece of work that never ends, and says when it has begun."""

    def work(connection: "Connection") -> object:
        running.set()
        return connection.execute(COUNT.format(10**12)).fetchone()

    return work


async def test_cancelling_what_waits_its_turn_does_not_interrupt_what_is_running(file: SharedFile) -> None:
    running = threading.Event()
    ran: list[object] = []

    def long(connection: "Connection") -> int:
        running.set()
        count: int = connection.execute(COUNT.format(3_000_000)).fetchone()[0]
        return count

    first = asyncio.ensure_future(file.read(long))
    await asyncio.to_thread(running.wait)
    second = asyncio.ensure_future(file.read(ran.append))
    for _ in range(2):
        await asyncio.sleep(0)  # lets it get in line
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert await first == 3_000_000
    assert ran == []


async def test_what_waits_its_turn_behind_an_endless_statement_can_be_cancelled(file: SharedFile) -> None:
    running = threading.Event()

    first = asyncio.ensure_future(file.write(endless(running)))
    await asyncio.to_thread(running.wait)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await file.read(lambda connection: connection.in_transaction)
    assert not first.done()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await file.read(lambda connection: connection.in_transaction) is False


async def test_cancelling_what_is_running_ends_it_and_leaves_the_connection_usable(file: SharedFile) -> None:
    running = threading.Event()

    task = asyncio.ensure_future(file.write(endless(running)))
    await asyncio.to_thread(running.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await file.read(lambda connection: connection.in_transaction) is False
    assert (await file.write(lambda connection: connection.execute(COUNT.format(3)).fetchone()[0]))[0] == 3
