"""A server that dies, and its standby that is promoted: the store goes on there, from a url that names both."""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import pytest

from bangeod.errors import StoreError, StoreReadOnlyError, StoreUnreachableError
from bangeod.store.postgres.store import PostgresStore
from tests.contract.values import NOW, entry, read_all, write_all
from tests.support.manual_clock import ManualClock
from tests.support.servers import postgres, postgres_pair
from tests.support.servers.postgres_pair import Pair
from tests.support.servers.postgres_tables import GEO_CACHE, SESSIONS

pytestmark = pytest.mark.slow

PATIENCE = 60.0  # seconds; longer than the longest wait until the next try to connect


@pytest.fixture(scope="module")
def one_after_the_other() -> Iterator[Pair]:
    """Give two servers; after each test the one that was killed is the standby of the other."""
    with postgres.skipping(), postgres_pair.running(synchronous=True) as pair:
        with pair.connect() as web_app:
            web_app.execute(GEO_CACHE)
            web_app.execute(SESSIONS)
        yield pair


@pytest.fixture
def pair(one_after_the_other: Pair) -> Iterator[Pair]:
    pair = one_after_the_other
    primary = pair.primary
    yield pair
    if pair.primary is not primary:
        pair.rejoin()
    with pair.connect() as web_app:
        web_app.execute("TRUNCATE geo_cache")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
async def store(pair: Pair, clock: ManualClock) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(pair.conninfo(), clock)
    yield store
    await store.close()


async def test_no_confirmed_row_is_lost_when_a_synchronous_standby_takes_over(
    pair: Pair, store: PostgresStore, clock: ManualClock
) -> None:
    entries = [entry(f"8.8.{i // 250}.{i % 250 + 1}", "DE") for i in range(1_000)]
    await store.prepare()
    async with aclosing(store.write(entries)) as slices:
        confirmed = {each.ip for each in await anext(slices)}
        while len(confirmed) < 300:
            confirmed |= {each.ip for each in await anext(slices)}
        pair.kill_primary()
        with pytest.raises(StoreUnreachableError):
            await anext(slices)
    assert 300 <= len(confirmed) < 1_000
    pair.promote()
    clock.advance(PATIENCE)
    assert await store.prepare() is True  # another server, which may lack what an asynchronous standby does
    assert {row.key for row in await read_all(store.rows())} >= confirmed
    rest = [each for each in entries if each.ip not in confirmed]
    assert await write_all(store, rest) == rest  # what was left in the dirty set
    assert len(await read_all(store.rows())) == 1_000


async def test_until_the_standby_is_promoted_it_is_said_that_no_server_takes_writes(
    pair: Pair, store: PostgresStore, clock: ManualClock
) -> None:
    await store.prepare()
    pair.kill_primary()
    with pytest.raises(StoreError):
        await store.prepare()
    clock.advance(PATIENCE)
    with pytest.raises(StoreReadOnlyError, match=r"none of the servers takes writes: .* session is read-only"):
        await store.prepare()
    pair.promote()
    clock.advance(PATIENCE)
    assert await store.prepare() is True
    assert await write_all(store, [entry("8.8.8.8", "DE")]) == [entry("8.8.8.8", "DE")]


async def test_a_server_that_is_a_standby_is_named_as_one(pair: Pair, clock: ManualClock) -> None:
    store = PostgresStore(pair.standby.conninfo(), clock)
    try:
        with pytest.raises(StoreReadOnlyError, match="the server is a standby"):
            await store.prepare()
    finally:
        await store.close()
