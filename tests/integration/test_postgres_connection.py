"""The way to a server: lost, refused, restarted, led elsewhere; and a task that is cancelled while a statement runs."""

import asyncio
import errno
import signal
from collections.abc import AsyncIterator, Iterator

import pytest

from bangeod.clock import SystemClock
from bangeod.errors import (
    StoreError,
    StoreMissingError,
    StoreReadOnlyError,
    StoreReplacedError,
    StoreUnreachableError,
)
from bangeod.store.port import Sizes
from bangeod.store.postgres import driver
from bangeod.store.postgres.connection import Conninfo
from bangeod.store.postgres.store import PostgresStore
from tests.contract.values import NOW, entry, read_all, write_all
from tests.support.manual_clock import ManualClock
from tests.support.servers import postgres_tables
from tests.support.servers.postgres_tables import GEO_CACHE, SESSIONS, Tables


@pytest.fixture
def tables() -> Iterator[Tables]:
    with postgres_tables.made(GEO_CACHE, SESSIONS) as tables:
        yield tables


@pytest.fixture
async def store(tables: Tables) -> AsyncIterator[PostgresStore]:
    store = tables.store()
    yield store
    await store.close()


def end_sessions(tables: Tables) -> None:
    """End bangeod's connections, as the server does when it is stopped."""
    tables.web_app.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'bangeod'"
    )


def sessions(tables: Tables) -> list[tuple[str, str]]:
    with tables.another() as other:  # a transaction is shown the same each time
        found: list[tuple[str, str]] = other.execute(
            "SELECT state, query FROM pg_stat_activity WHERE application_name = 'bangeod'"
        ).fetchall()
    return found


async def until_active(tables: Tables, word: str) -> None:
    """Wait until a statement of bangeod's with this word in it runs."""
    while not any(state == "active" and word in query for state, query in sessions(tables)):  # noqa: ASYNC110 - the server does not tell
        await asyncio.sleep(0.01)


async def test_a_connection_that_was_ended_is_made_again_and_memory_may_stay(
    tables: Tables, store: PostgresStore
) -> None:
    await write_all(store, [entry("8.8.8.8", "DE")])
    assert await store.prepare() is True
    end_sessions(tables)
    assert (await store.find(["8.8.8.8"])).keys() == {"8.8.8.8"}  # nobody notices
    assert await store.prepare() is False


async def test_a_write_that_meets_a_lost_connection_is_tried_again_by_the_next_run(
    tables: Tables, store: PostgresStore
) -> None:
    await store.prepare()
    async for _ in store.write([entry("8.8.8.8", "DE")]):
        end_sessions(tables)
    assert await write_all(store, [entry("9.9.9.9", "DE")]) == [entry("9.9.9.9", "DE")]


async def test_a_table_that_was_restored_is_another_one(tables: Tables, store: PostgresStore) -> None:
    await store.prepare()
    tables.web_app.execute("DROP TABLE geo_cache")
    assert await store.prepare() is False  # it may come back
    tables.web_app.execute(GEO_CACHE)
    assert await store.prepare() is True
    assert await store.prepare() is False


async def test_no_write_goes_to_another_database_than_the_one_that_was_looked_at(tables: Tables) -> None:
    await (store := tables.store()).prepare()
    try:
        store._writer.conninfo = tables.server.conninfo("postgres")
        with pytest.raises(StoreReplacedError):
            await write_all(store, [entry("8.8.8.8", "DE")])
    finally:
        await store.close()
    assert tables.rows("SELECT 1 FROM geo_cache") == []


async def test_a_task_that_is_cancelled_leaves_nothing_running_and_the_connection_usable(
    tables: Tables, store: PostgresStore
) -> None:
    await store.prepare()
    with tables.web_app.transaction():
        tables.web_app.execute("LOCK TABLE geo_cache IN ACCESS EXCLUSIVE MODE")
        finding = asyncio.ensure_future(store.find(["8.8.8.8"]))
        await until_active(tables, "SELECT")
        finding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await finding
        assert {state for state, _ in sessions(tables)} == {"idle"}
    assert await store.find(["8.8.8.8"]) == {}


async def test_a_write_that_is_cancelled_has_written_nothing(tables: Tables, store: PostgresStore) -> None:
    await store.prepare()
    with tables.web_app.transaction():
        tables.web_app.execute("LOCK TABLE geo_cache IN SHARE MODE")
        writing = asyncio.ensure_future(write_all(store, [entry("8.8.8.8", "DE")]))
        await until_active(tables, "INSERT")
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
    assert tables.rows("SELECT 1 FROM geo_cache") == []
    assert await write_all(store, [entry("8.8.8.8", "DE")]) == [entry("8.8.8.8", "DE")]


async def test_the_session_is_set_up_so_that_nothing_of_it_outlives_its_use(
    tables: Tables, store: PostgresStore
) -> None:
    await store.prepare()
    names = ("search_path", "lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "TimeZone")
    set_up = {name: (await store._reader.run(f"SHOW {name}"))[0][0] for name in names}
    assert set_up == {
        "search_path": f"{tables.schema}, pg_temp",
        "lock_timeout": "5s",
        "statement_timeout": "30s",
        "idle_in_transaction_session_timeout": "10s",
        "TimeZone": "UTC",
    }


async def opened(conninfo: Conninfo) -> None:
    store = PostgresStore(conninfo, SystemClock())
    try:
        await store.prepare()
    finally:
        await store.close()


@pytest.mark.parametrize(
    ("keywords", "kind", "words"),
    [
        ("host=127.0.0.1 port=1", StoreUnreachableError, "no server answers"),
        ("host=/nonexistent", StoreUnreachableError, "no server answers"),
        ("host=nowhere.invalid", StoreUnreachableError, "name is not known"),
        ("host=127.0.0.1 no_such_word=1", StoreUnreachableError, "no_such_word"),
        ("host={home} dbname=nowhere user=postgres", StoreMissingError, "no such database"),
        ("host={home} dbname=postgres user=nobody_here", StoreUnreachableError, "does not let bangeod in"),
    ],
)
async def test_each_obstacle_on_the_way_is_one_error_with_advice(
    tables: Tables, keywords: str, kind: type[StoreError], words: str
) -> None:
    conninfo = Conninfo(keywords.format(home=tables.server.home), "postgresql://db.example/bangui", "s3cret")
    with pytest.raises(kind, match=words) as error:
        await opened(conninfo)
    assert error.value.path == "postgresql://db.example/bangui"
    assert "s3cret" not in str(error.value) + repr(error.value.__cause__) + repr(error.value.__context__)


async def test_a_server_that_takes_no_writes_is_a_clear_error_and_is_found_again(
    tables: Tables, store: PostgresStore
) -> None:
    await write_all(store, [entry("8.8.8.8", "DE")])
    tables.web_app.execute(f"ALTER DATABASE {tables.database} SET default_transaction_read_only = on")
    try:
        end_sessions(tables)
        await store.prepare()
        with pytest.raises(StoreReadOnlyError, match="takes no writes"):
            await write_all(store, [entry("9.9.9.9", "DE")])
    finally:
        tables.web_app.execute("SET default_transaction_read_only = off")
        tables.web_app.execute(f"ALTER DATABASE {tables.database} RESET default_transaction_read_only")
    assert await write_all(store, [entry("9.9.9.9", "DE")]) == [entry("9.9.9.9", "DE")]


async def test_after_a_failure_no_try_is_made_until_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[float] = []
    clock = ManualClock(NOW)

    async def refuse(_: object) -> None:
        tried.append(clock.monotonic())
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")

    monkeypatch.setattr(driver, "connect", refuse)
    store = PostgresStore(Conninfo("host=127.0.0.1 port=1", "postgresql://db.example/bangui"), clock)
    for expected in (1, 1):
        with pytest.raises(StoreUnreachableError, match="no server answers"):
            await store.prepare()
        assert len(tried) == expected
    assert await store.sizes() == Sizes()
    assert len(tried) == 1
    clock.advance(0.5)
    with pytest.raises(StoreUnreachableError, match="no server answers"):
        await store.prepare()
    assert len(tried) == 2


@pytest.mark.slow
async def test_a_server_that_is_restarted_is_found_again_without_anybodys_help(tables: Tables) -> None:
    server = tables.server
    store = tables.store()
    await write_all(store, [entry("8.8.8.8", "DE")])
    server.stop(signal.SIGQUIT)
    try:
        with pytest.raises(StoreUnreachableError):
            await read_all(store.rows())
    finally:
        server.start()
        tables.web_app.close()
    await store.close()
    assert [row.key for row in await read_all(store.rows())] == ["8.8.8.8"]
    await store.close()
    with tables.another() as web_app:
        web_app.execute(f"DROP SCHEMA {tables.schema} CASCADE")
