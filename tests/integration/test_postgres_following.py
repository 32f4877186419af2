"""Two and three daemons on one database, in one process: what one writes or deletes, the others' memory follows."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from tests.contract.values import total
from tests.support.servers import own_database
from tests.support.servers.following_daemon import FollowingDaemon
from tests.support.servers.own_database import OwnDatabase
from tests.support.servers.postgres_tables import GEO_CACHE, SESSIONS

IP, OTHER = "8.8.8.8", "9.9.9.9"
PATIENCE = 10.0  # seconds; the goal is one, which the benchmark measures


@pytest.fixture
def database() -> Iterator[OwnDatabase]:
    with own_database.made(GEO_CACHE, SESSIONS) as database:
        yield database


@pytest.fixture
async def daemons(database: OwnDatabase) -> AsyncIterator[list[FollowingDaemon]]:
    async with AsyncExitStack() as running:
        yield [await running.enter_async_context(FollowingDaemon(database.conninfo()).running()) for _ in range(3)]


async def test_what_one_writes_all_others_know(daemons: list[FollowingDaemon]) -> None:
    one, two, three = daemons
    one.resolve(IP)
    await one.cache.flush_dirty()
    two.resolve(OTHER, country="FR")
    await two.cache.flush_dirty()
    async with asyncio.timeout(PATIENCE):
        for each in daemons:
            await each.knows(IP)
            await each.knows(OTHER, "FR")
    assert [each.cache.dirty for each in daemons] == [0, 0, 0]
    assert three.following.lag == 0


async def test_a_whole_flush_arrives(daemons: list[FollowingDaemon]) -> None:
    one, *others = daemons
    ips = [f"8.{i // 65536}.{i // 256 % 256}.{i % 256}" for i in range(5_000)]
    one.resolve(*ips)
    await one.cache.flush_dirty()
    async with asyncio.timeout(PATIENCE):
        for each in others:
            while each.cache.entries < len(ips):  # noqa: ASYNC110 - memory does not tell
                await asyncio.sleep(0.01)


async def test_what_one_deletes_all_others_forget(daemons: list[FollowingDaemon]) -> None:
    one, two, three = daemons
    one.resolve(IP)
    await one.cache.flush_dirty()
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(two.knows(IP), three.knows(IP))
        await total(two.store.delete_stale(4_000_000_000, keep=lambda _key: False))
        await asyncio.gather(one.knows(IP, None), three.knows(IP, None))


async def test_what_was_sent_while_nobody_listened_is_caught_up_by_reading_the_table(
    database: OwnDatabase, daemons: list[FollowingDaemon]
) -> None:
    one, two, _ = daemons
    database.end_sessions("LISTEN")
    one.resolve(IP)
    await one.cache.flush_dirty()
    async with asyncio.timeout(PATIENCE):
        await two.caught_up.wait()
    await two.cache.load_from_db()
    assert two.cache.known(IP)
