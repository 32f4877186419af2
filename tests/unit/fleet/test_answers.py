"""A server that hangs is given up in time, and whatever waits for it can be cancelled."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bangeod.errors import SchemaError, StoreUnreachableError
from bangeod.fleet.answers import in_time
from bangeod.store.postgres.session import Session
from tests.support.manual_clock import ManualClock
from tests.support.servers import postgres


@pytest.fixture
def session() -> Session:
    return Session(postgres.shared_or_skip().conninfo(), ManualClock(), schema=None, lock_timeout=1.0)


@contextmanager
def stopped(process: int) -> Iterator[None]:
    """Stop the server's process of a connection for a while."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


async def process_of(session: Session) -> int:
    ((process,),) = await in_time(session, "SELECT pg_backend_pid()", within=10)
    return int(process)


async def test_a_statement_is_answered_or_its_error_raised(session: Session) -> None:
    assert await in_time(session, "SELECT %(n)s || ''", {"n": "1"}, within=10) == [("1",)]
    with pytest.raises(SchemaError):
        await in_time(session, "SELECT no_such_column", within=10)
    await session.close()


async def test_a_server_that_hangs_is_given_up(session: Session) -> None:
    with stopped(await process_of(session)):
        with pytest.raises(StoreUnreachableError, match=r"has not answered for 0\.05 s"):
            await in_time(session, "SELECT 1", within=0.05)
        await asyncio.wait_for(session.close(), 10)


async def test_who_waits_for_a_server_that_hangs_can_be_cancelled(session: Session) -> None:
    with stopped(await process_of(session)):
        waiting = asyncio.create_task(in_time(session, "SELECT 1", within=60))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(waiting), 10)
        await asyncio.wait_for(session.close(), 10)
