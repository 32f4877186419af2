"""A server behind PgBouncer, which gives each transaction whichever session it has."""

import asyncio
from collections.abc import Iterator

import pytest

from bangeod.clock import SystemClock
from bangeod.errors import StoreLockedError, StoreRefusedError
from bangeod.store.postgres.connection import Conninfo
from bangeod.store.postgres.store import PostgresStore
from tests.contract.values import NOW, entry, read_all, total, write_all
from tests.support.servers import pgbouncer, postgres_tables
from tests.support.servers.postgres_tables import GEO_CACHE, SESSIONS, Tables


@pytest.fixture
def tables() -> Iterator[Tables]:
    with postgres_tables.made(GEO_CACHE, SESSIONS) as tables:
        yield tables


def store_over(keywords: str, tables: Tables, busy_timeout: float = 5.0) -> PostgresStore:
    conninfo = Conninfo(f"{keywords} dbname={tables.database}", "postgresql:///bangui")
    return PostgresStore(conninfo, SystemClock(), schema=tables.schema, busy_timeout=busy_timeout)


@pytest.mark.parametrize("mode", ["session", "transaction"])
async def test_behind_a_pooler_everything_works_and_nothing_is_left_in_its_sessions(tables: Tables, mode: str) -> None:
    with pgbouncer.running(tables.server, mode=mode, sessions=1 if mode == "transaction" else 2) as keywords:
        store = store_over(keywords, tables)
        ips = [f"8.8.{i // 256}.{i % 256}" for i in range(300)]
        await write_all(store, [entry(ip, "DE", seen=NOW - i) for i, ip in enumerate(ips)])
        assert len(await read_all(store.rows())) == 300
        assert len((await total(store.delete_stale(NOW - 99, keep=lambda _key: False))).keys) == 200
        found = await asyncio.gather(store.find(ips), store.count_expired(NOW), store.names_by_code())
        assert len(found[0]) == 100
        left = await store._reader.run("SHOW search_path")
        assert left == [(f"{tables.schema}, pg_temp",)]
        if mode == "transaction":
            with tables.server.connect(tables.database) as own:
                other = type(own).connect(f"{keywords} dbname={tables.database}", autocommit=True)
                assert other.execute("SHOW lock_timeout").fetchone() == ("0",)
                other.close()
        await store.close()


async def test_an_error_behind_a_pooler_leaves_the_session_for_others(tables: Tables) -> None:
    tables.web_app.execute("ALTER TABLE geo_cache ADD CHECK (country_code <> 'FR')")
    with pgbouncer.running(tables.server) as keywords:
        store = store_over(keywords, tables, busy_timeout=0.05)
        with pytest.raises(StoreRefusedError) as refusal:
            await write_all(store, [entry("8.8.8.8", "FR"), entry("9.9.9.9", "DE")])
        assert refusal.value.ips == {"8.8.8.8"}
        with tables.web_app.transaction():
            tables.web_app.execute("LOCK TABLE geo_cache IN SHARE MODE")
            with pytest.raises(StoreLockedError):
                await write_all(store, [entry("8.8.4.4", "DE")])
        assert [row.key for row in await read_all(store.rows())] == ["9.9.9.9"]
        await store.close()
