"""What a store on a server tells other daemons of what it writes and deletes."""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import pytest

from bangeod.errors import StoreRefusedError
from bangeod.model import Geo
from bangeod.store.postgres import announcing
from bangeod.store.postgres.announcing import CHANNEL
from bangeod.store.postgres.notices import read
from bangeod.store.postgres.store import PostgresStore
from tests.contract.values import NOW, entry, total, write_all
from tests.support.servers import postgres_tables
from tests.support.servers.postgres_tables import GEO_CACHE, SESSIONS, Tables

IP, OTHER, THIRD = "8.8.8.8", "9.9.9.9", "1.1.1.1"
DAY = 86_400


@pytest.fixture
def tables() -> Iterator[Tables]:
    with postgres_tables.made(GEO_CACHE, SESSIONS) as tables:
        tables.web_app.execute(f"LISTEN {CHANNEL}")
        yield tables
        tables.web_app.execute("UNLISTEN *")


@pytest.fixture
async def store(tables: Tables) -> AsyncIterator[PostgresStore]:
    store = tables.store()
    yield store
    await store.close()


def told(tables: Tables) -> list[list[str]]:
    """Return what each notice so far names."""
    return [list(read(notice.payload)) for notice in tables.web_app.notifies(timeout=0.05)]


async def test_addresses_that_have_a_country_now_are_told_together(tables: Tables, store: PostgresStore) -> None:
    await write_all(store, [entry(IP, "DE"), entry(OTHER, "FR"), entry(THIRD)])
    assert told(tables) == [[IP, OTHER]]


async def test_a_row_that_is_seen_again_or_stays_as_it_is_is_not_told(tables: Tables, store: PostgresStore) -> None:
    await write_all(store, [entry(IP, "DE")])
    assert told(tables) == [[IP]]
    await write_all(store, [entry(IP, "DE", seen=NOW + DAY), entry(IP, "FR")])
    assert told(tables) == []
    await write_all(store, [entry(IP, "FR", replaces=Geo("DE"))])
    assert told(tables) == [[IP]]


async def test_rows_that_are_deleted_are_told(tables: Tables, store: PostgresStore) -> None:
    tables.web_app.execute("INSERT INTO geo_cache (ip, last_seen) VALUES ('no address', '2001-01-01T00:00:00Z')")
    await write_all(store, [entry(IP, "DE", seen=NOW - DAY), entry(OTHER, "FR")])
    told(tables)
    assert len((await total(store.delete_stale(NOW, keep=lambda _key: False))).keys) == 2
    assert told(tables) == [[IP]]


async def test_what_is_written_before_a_refusal_is_told(tables: Tables, store: PostgresStore) -> None:
    tables.web_app.execute("ALTER TABLE geo_cache ADD CHECK (country_code <> 'FR')")
    with pytest.raises(StoreRefusedError):
        await write_all(store, [entry(IP, "DE"), entry(OTHER, "FR")])
    assert told(tables) == [[IP]]


async def test_what_is_written_before_the_caller_ends_it_is_told(tables: Tables, store: PostgresStore) -> None:
    async with aclosing(store.write([entry(IP, "DE")])) as slices:
        async for _ in slices:
            break
    assert told(tables) == [[IP]]


async def test_what_could_not_be_told_is_told_with_the_next_write(
    tables: Tables, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcing, "SOON", 60.0)  # so that it is tried at the end alone
    await store.prepare()
    async with aclosing(store.write([entry(IP, "DE")])) as slices:
        async for _ in slices:
            tables.web_app.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'bangeod'"
            )
    assert told(tables) == []
    await write_all(store, [entry(OTHER, "FR")])
    assert told(tables) == [[IP, OTHER]]


async def test_much_is_told_while_it_is_written(
    tables: Tables, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcing, "MANY", 100)
    ips = [f"8.8.{i // 256}.{i % 256}" for i in range(1_000)]
    await write_all(store, [entry(ip, "DE") for ip in ips])
    found = told(tables)
    assert sorted(ip for each in found for ip in each) == sorted(ips)
    assert len(found) > 1


async def test_a_store_knows_its_own_notices(tables: Tables, store: PostgresStore) -> None:
    await write_all(store, [entry(IP, "DE")])
    (notice,) = tables.web_app.notifies(timeout=1, stop_after=1)
    assert store.is_own(notice.pid)
    assert not store.is_own(tables.web_app.info.backend_pid)
    await store.close()
    assert not store.is_own(notice.pid)
