"""What only the real adapter has: files that come and go, locks, triggers, interrupted statements, threads."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bangeod.clock import SystemClock
from bangeod.errors import (
    SchemaError,
    StoreDamagedError,
    StoreError,
    StoreLockedError,
    StoreMissingError,
    StoreReadOnlyError,
    StoreRefusedError,
    StoreReplacedError,
)
from bangeod.model import DirtyEntry, Geo
from bangeod.store.sqlite import schema
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.store import SqliteStore
from tests.contract.values import NOW, entry, read_all, total, write_all

if TYPE_CHECKING:
    from sqlite3 import Connection

OLD = "2001-01-01T00:00:00Z"
SLOW = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"  # never ends


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "bangui.db"
    schema.create(path)
    return path


@pytest.fixture
def web_app(path: Path) -> Iterator["Connection"]:
    """Open the database as a web app that gives up at once where it finds it locked."""
    with closing(engine.connect(path, isolation_level=None, timeout=0)) as connection:
        yield connection


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, busy_timeout=0.02, max_lock_time=0.005, clock=SystemClock())
    yield store
    await store.close()


def fill(web_app: "Connection", rows: int) -> None:
    """Insert stale rows and as many expired sessions."""
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ?) "
    web_app.execute(
        numbers + "INSERT INTO geo_cache (ip, country_code, last_seen)"
        " SELECT '8.' || (i >> 16) || '.' || (i >> 8 & 255) || '.' || (i & 255), 'DE', ? FROM n",
        (rows, OLD),
    )
    web_app.execute(
        numbers + "INSERT INTO sessions (token, expires_at) SELECT 'token-' || i, ? FROM n",
        (rows, OLD),
    )


def count(web_app: "Connection", table: str = "geo_cache") -> int:
    found: int = web_app.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return found


# --- interrupting ---


@pytest.mark.parametrize("writing", [False, True])
async def test_a_cancelled_statement_is_interrupted_and_leaves_no_lock(
    store: SqliteStore, web_app: "Connection", writing: bool
) -> None:
    await store.prepare()
    running = threading.Event()

    def work(connection: "Connection") -> object:
        if writing:
            connection.execute("DELETE FROM sessions")
        running.set()
        return connection.execute(SLOW).fetchall()

    task = asyncio.ensure_future(store._file.write(work) if writing else store._file.read(work))
    await asyncio.to_thread(running.wait)
    began = time.perf_counter()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.perf_counter() - began < 5  # the statement itself never ends
    web_app.execute("INSERT INTO sessions (token) VALUES ('x')")
    assert await write_all(store, [entry("8.8.8.8", "DE")])


async def test_a_sweep_that_is_cancelled_keeps_what_it_did_and_leaves_no_lock(
    store: SqliteStore, web_app: "Connection"
) -> None:
    fill(web_app, 20_000)
    await store.prepare()
    sweeping = asyncio.create_task(total(store.delete_expired(NOW)))
    while count(web_app, "sessions") == 20_000:  # noqa: ASYNC110 - the database has no event to wait for
        await asyncio.sleep(0)
    sweeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sweeping
    left = count(web_app, "sessions")
    assert 0 < left < 20_000
    web_app.execute("INSERT INTO sessions (token) VALUES ('x')")
    assert len((await total(store.delete_expired(NOW))).keys) == left


async def test_iterators_that_are_closed_early_leave_no_lock(store: SqliteStore, web_app: "Connection") -> None:
    fill(web_app, 5_000)
    entries = [entry(f"9.9.{i // 250}.{i % 250}", "FR") for i in range(5_000)]
    for slices in (store.delete_stale(NOW, keep=lambda _key: False), store.write(entries), store.delete_expired(NOW)):
        async with aclosing(slices) as opened:
            async for _ in opened:
                break
        web_app.execute("INSERT INTO sessions (expires_at) VALUES ('now')")


# --- the file at the path ---


async def test_preparing_never_makes_a_file(tmp_path: Path) -> None:
    path = tmp_path / "none.db"
    store = SqliteStore(path, busy_timeout=0.01, max_lock_time=0.01, clock=SystemClock())
    with pytest.raises(StoreMissingError):
        await store.prepare()
    with pytest.raises(StoreMissingError):
        await store.find(["8.8.8.8"])
    assert not path.exists()


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"x" * 8_192, StoreDamagedError), (b"SQLite format 3\0" + b"\xff" * 4_080, StoreError), (b"", SchemaError)],
)
async def test_a_file_that_is_no_database_is_named_and_left_as_it_is(
    tmp_path: Path, content: bytes, kind: type[StoreError]
) -> None:
    path = tmp_path / "bangui.db"
    path.write_bytes(content)
    store = SqliteStore(path, busy_timeout=0.01, max_lock_time=0.01, clock=SystemClock())
    with pytest.raises(kind):
        await write_all(store, [entry("8.8.8.8", "DE")])
    await store.close()
    assert path.read_bytes() == content


async def test_a_file_that_is_mended_in_place_is_taken_up(path: Path) -> None:
    whole = path.read_bytes()  # noqa: ASYNC240
    path.write_bytes(b"x" * 8_192)  # noqa: ASYNC240
    store = SqliteStore(path, busy_timeout=0.01, max_lock_time=0.01, clock=SystemClock())
    with pytest.raises(StoreDamagedError):
        await store.prepare()
    path.write_bytes(whole)  # noqa: ASYNC240
    assert await store.prepare() is True
    assert await write_all(store, [entry("8.8.8.8", "DE")])
    await store.close()


async def test_a_database_that_could_not_be_written_is_still_the_same(
    store: SqliteStore,
) -> None:
    await store.prepare()

    def fail(_connection: "Connection") -> None:
        error = engine.OperationalError("attempt to write a readonly database")
        error.sqlite_errorcode = 8
        raise error

    with pytest.raises(StoreReadOnlyError):
        await store._file.write(fail)
    connection = store._file._connection
    assert await store.prepare() is False
    assert store._file._connection is not connection  # only a new one sees that it has become writable
    assert len(await write_all(store, [entry("8.8.8.8", "DE")])) == 1


async def test_a_database_that_was_damaged_while_in_use_may_be_another_one_afterwards(store: SqliteStore) -> None:
    await store.prepare()

    def fail(_connection: "Connection") -> None:
        error = engine.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = 11
        raise error

    with pytest.raises(StoreDamagedError):
        await store._file.read(fail)
    assert await store.prepare() is True
    assert await store.prepare() is False


async def test_a_directory_is_no_database(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, busy_timeout=0.01, max_lock_time=0.01, clock=SystemClock())
    with pytest.raises(StoreReadOnlyError):
        await store.prepare()


def swap(path: Path) -> None:
    """Put another database in the place of this one, as one restores a backup; what is open stays open."""
    path.rename(path.with_name("old.db"))
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(path.with_name("old.db" + suffix))
    schema.create(path)


async def test_a_file_that_was_replaced_is_opened_anew(store: SqliteStore, path: Path) -> None:
    assert await store.prepare() is True
    await write_all(store, [entry("8.8.8.8", "DE")])
    swap(path)
    assert await store.prepare() is True
    assert await store.prepare() is False
    assert await read_all(store.rows()) == []


async def test_a_file_that_is_replaced_during_a_run_is_not_written_to(
    store: SqliteStore, path: Path, web_app: "Connection"
) -> None:
    fill(web_app, 10)
    await store.prepare()
    swap(path)
    with pytest.raises(StoreReplacedError):
        await write_all(store, [entry("8.8.8.8", "DE")])
    with pytest.raises(StoreReplacedError):
        await total(store.delete_stale(NOW, keep=lambda _key: False))
    with pytest.raises(StoreReplacedError):
        await total(store.delete_expired(NOW))
    with closing(engine.connect(path.with_name("old.db"))) as old, closing(engine.connect(path)) as new:
        assert (count(old), count(old, "sessions")) == (10, 10)
        assert (count(new), count(new, "sessions")) == (0, 0)


async def test_a_file_that_is_deleted_during_a_run_is_not_written_to(store: SqliteStore, path: Path) -> None:
    await store.prepare()
    path.unlink()  # noqa: ASYNC240
    with pytest.raises(StoreMissingError):
        await write_all(store, [entry("8.8.8.8", "DE")])
    with pytest.raises(StoreMissingError):
        await store.prepare()
    assert not path.exists()  # noqa: ASYNC240


async def test_that_a_file_is_new_is_told_although_it_was_locked_at_first(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.prepare()
    swap(path)
    read = store._file.read

    async def locked(work: object) -> object:
        monkeypatch.setattr(store._file, "read", read)
        raise StoreLockedError(str(path), "locked", "wait")

    assert await store._file.prepare() is True
    store._is_new, store._schema_version = True, None
    monkeypatch.setattr(store._file, "read", locked)
    with pytest.raises(StoreLockedError):
        await store.prepare()
    assert await store.prepare() is True


async def test_a_lookup_that_opens_the_file_does_not_hide_that_it_is_new(store: SqliteStore) -> None:
    assert await store.find(["8.8.8.8"]) == {}
    assert await store.prepare() is True


async def test_jobs_that_prepare_at_the_same_time_open_one_connection(store: SqliteStore) -> None:
    before = set(threading.enumerate())
    opened = await asyncio.gather(*(store.prepare() for _ in range(5)))
    assert sorted(opened) == [False] * 4 + [True]
    assert len(set(threading.enumerate()) - before) == 1  # others, of earlier tests, may end meanwhile


async def test_closing_leaves_no_thread(store: SqliteStore) -> None:
    before = set(threading.enumerate())
    await store.prepare()
    (thread,) = set(threading.enumerate()) - before
    await store.close()
    await asyncio.to_thread(thread.join, 5)
    assert not thread.is_alive()


async def test_a_prepare_that_fails_leaves_no_thread(path: Path) -> None:
    path.write_bytes(b"x" * 8_192)  # noqa: ASYNC240
    before = set(threading.enumerate())
    store = SqliteStore(path, busy_timeout=0.01, max_lock_time=0.01, clock=SystemClock())
    with pytest.raises(StoreDamagedError):
        await store.prepare()
    for thread in set(threading.enumerate()) - before:
        if "asyncio" not in thread.name:
            await asyncio.to_thread(thread.join, 5)
            assert not thread.is_alive()


# --- the schema ---


async def test_a_change_of_the_schema_is_noticed_by_the_next_run(store: SqliteStore, web_app: "Connection") -> None:
    await store.prepare()
    web_app.execute("ALTER TABLE geo_cache DROP COLUMN org")
    web_app.execute("ALTER TABLE sessions RENAME TO logins")
    assert await store.prepare() is False
    await write_all(store, [DirtyEntry("8.8.8.8", Geo("DE", None, None, "Example"), NOW, NOW)])
    with pytest.raises(SchemaError, match="there is no table sessions"):
        await total(store.delete_expired(NOW))
    web_app.execute("ALTER TABLE logins RENAME TO sessions")
    await store.prepare()
    assert await total(store.delete_expired(NOW)) == ([], 0, None)


async def test_a_column_that_goes_during_a_run_is_a_schema_error(store: SqliteStore, web_app: "Connection") -> None:
    await store.prepare()
    fill(web_app, 1)
    web_app.execute("ALTER TABLE sessions RENAME COLUMN expires_at TO ends_at")
    with pytest.raises(SchemaError, match="no such column"):
        await total(store.delete_expired(NOW))


async def test_one_unfit_table_does_not_keep_the_other_from_being_used(
    store: SqliteStore, web_app: "Connection"
) -> None:
    web_app.execute("DROP TABLE geo_cache")
    web_app.execute("CREATE VIEW geo_cache AS SELECT token AS ip, token AS country_code FROM sessions")
    fill_sessions = "INSERT INTO sessions (expires_at) VALUES (?)"
    web_app.execute(fill_sessions, (OLD,))
    await store.prepare()
    with pytest.raises(SchemaError, match="geo_cache is a view, not a table"):
        await write_all(store, [entry("8.8.8.8", "DE")])
    assert len((await total(store.delete_expired(NOW))).keys) == 1


async def test_without_any_time_a_table_can_be_written_but_not_cleaned_up(
    store: SqliteStore, web_app: "Connection"
) -> None:
    web_app.execute("DROP TABLE geo_cache")
    web_app.execute("CREATE TABLE geo_cache (ip TEXT PRIMARY KEY, country_code TEXT)")
    await store.prepare()
    await write_all(store, [entry("8.8.8.8", "DE")])
    with pytest.raises(SchemaError, match="neither a column last_seen nor cached_at"):
        await total(store.delete_stale(NOW, keep=lambda _key: False))
    with pytest.raises(SchemaError):
        await store.count_stale(NOW, keep=lambda _key: False)


async def test_an_address_that_is_no_key_is_a_schema_error(store: SqliteStore, web_app: "Connection") -> None:
    web_app.execute("DROP TABLE geo_cache")
    web_app.execute("CREATE TABLE geo_cache (ip TEXT, country_code TEXT)")
    await store.prepare()
    with pytest.raises(SchemaError, match="ON CONFLICT"):
        await write_all(store, [entry("8.8.8.8", "DE")])


# --- what the database refuses ---


async def test_a_trigger_that_raises_refuses_the_slice_whole(store: SqliteStore, web_app: "Connection") -> None:
    web_app.execute(
        "CREATE TRIGGER no BEFORE INSERT ON geo_cache WHEN new.ip = '9.9.9.9'"
        " BEGIN SELECT RAISE(ABORT, 'not here'); END"
    )
    await store.prepare()
    with pytest.raises(StoreRefusedError, match="not here"):
        await write_all(store, [entry("8.8.8.8", "DE"), entry("9.9.9.9", "DE")])
    assert count(web_app) == 0
    assert await store.prepare() is False  # it is still the same database
    assert len(await write_all(store, [entry("8.8.8.8", "DE")])) == 1


@pytest.mark.parametrize("kind", ["ROLLBACK", "FAIL"])
async def test_a_trigger_that_ends_the_transaction_itself_leaves_no_lock(
    store: SqliteStore, web_app: "Connection", kind: str
) -> None:
    web_app.execute(f"CREATE TRIGGER no BEFORE INSERT ON geo_cache BEGIN SELECT RAISE({kind}, 'not here'); END")
    await store.prepare()
    with pytest.raises(StoreRefusedError):
        await write_all(store, [entry("8.8.8.8", "DE")])
    web_app.execute("DROP TRIGGER no")
    assert len(await write_all(store, [entry("8.8.8.8", "DE")])) == 1


async def test_a_new_column_that_must_be_filled_refuses_new_rows_only(
    store: SqliteStore, web_app: "Connection"
) -> None:
    web_app.execute("DROP TABLE geo_cache")
    web_app.execute(schema.GEO_CACHE.replace("org TEXT,", "org TEXT, note TEXT NOT NULL,"))
    web_app.execute("INSERT INTO geo_cache (ip, note) VALUES ('8.8.8.8', 'mine')")
    await store.prepare()
    with pytest.raises(StoreRefusedError, match="note is NOT NULL and has no default"):
        await write_all(store, [entry("9.9.9.9", "DE"), entry("8.8.8.8", "DE")])
    assert web_app.execute("SELECT ip, country_code FROM geo_cache").fetchall() == [("8.8.8.8", "DE")]


# --- locks ---


async def test_a_lock_that_lasts_longer_than_the_busy_timeout_is_an_error(
    store: SqliteStore, web_app: "Connection"
) -> None:
    await store.prepare()
    web_app.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreLockedError, match=r"over 0\.02 s"):
        await write_all(store, [entry("8.8.8.8", "DE")])
    web_app.execute("ROLLBACK")
    assert len(await write_all(store, [entry("8.8.8.8", "DE")])) == 1


async def test_a_lock_that_ends_in_time_is_waited_for(store: SqliteStore, web_app: "Connection") -> None:
    store.limit(busy_timeout=30, max_lock_time=0.005)
    await store.prepare()
    web_app.execute("BEGIN IMMEDIATE")
    writing = asyncio.create_task(write_all(store, [entry("8.8.8.8", "DE")]))
    await asyncio.sleep(0.01)
    assert not writing.done()
    web_app.execute("COMMIT")
    assert len(await writing) == 1


async def test_rows_are_read_while_the_web_app_writes(store: SqliteStore, web_app: "Connection") -> None:
    fill(web_app, 10)
    await store.prepare()
    web_app.execute("BEGIN IMMEDIATE")
    web_app.execute("DELETE FROM geo_cache")
    assert len(await read_all(store.rows())) == 10
    web_app.execute("ROLLBACK")


async def test_the_page_cache_is_no_larger_with_one_library_than_with_another(store: SqliteStore) -> None:
    await store.prepare()
    ((size,),) = await store._file.read(lambda connection: connection.execute("PRAGMA cache_size").fetchall())
    assert size == -2_000


# --- tidying up ---


async def test_tidying_up_makes_no_tables(store: SqliteStore, web_app: "Connection") -> None:
    fill(web_app, 5_000)
    before = web_app.execute("SELECT * FROM sqlite_schema").fetchall()
    await store.prepare()
    await total(store.delete_stale(NOW, keep=lambda _key: False))
    await total(store.delete_expired(NOW))
    await store.tidy()
    assert web_app.execute("SELECT * FROM sqlite_schema").fetchall() == before


@pytest.mark.skipif(engine.sqlite_version_info < (3, 46), reason="refreshes those of tables it has just used")
async def test_statistics_that_are_kept_are_refreshed(store: SqliteStore, web_app: "Connection") -> None:
    web_app.execute("CREATE INDEX seen ON geo_cache (last_seen)")
    fill(web_app, 100)
    web_app.execute("ANALYZE")
    web_app.execute("DELETE FROM sqlite_stat1")
    for table in ("geo_cache", "sessions"):
        web_app.execute(f"DELETE FROM {table}")
    fill(web_app, 20_000)
    await store.prepare()
    await store.tidy()
    assert web_app.execute("SELECT DISTINCT tbl FROM sqlite_stat1 ORDER BY tbl").fetchall()


async def test_free_pages_are_given_back_where_the_web_app_has_set_that_up(tmp_path: Path) -> None:
    path = tmp_path / "bangui.db"
    with closing(engine.connect(path, isolation_level=None)) as web_app:
        web_app.execute("PRAGMA auto_vacuum = INCREMENTAL")
        web_app.execute("PRAGMA journal_mode = WAL")
        web_app.execute(schema.GEO_CACHE)
        web_app.execute(schema.SESSIONS)
        fill(web_app, 20_000)
        web_app.execute("DELETE FROM sessions")
        (free,) = web_app.execute("PRAGMA freelist_count").fetchone()
        (pages,) = web_app.execute("PRAGMA page_count").fetchone()
        store = SqliteStore(path, busy_timeout=1, max_lock_time=0.005, clock=SystemClock())
        await store.prepare()
        figures = await store.tidy()
        await store.close()
        assert free > 100
        assert figures == {"free_pages": 0, "page_size": 4_096, "pages_given_back": free}
        assert web_app.execute("PRAGMA page_count").fetchone() == (pages - free,)


async def test_free_pages_stay_where_they_are_otherwise(store: SqliteStore, web_app: "Connection") -> None:
    fill(web_app, 20_000)
    web_app.execute("DELETE FROM sessions")
    (free,) = web_app.execute("PRAGMA freelist_count").fetchone()
    await store.prepare()
    figures = await store.tidy()
    assert (figures["free_pages"], figures["pages_given_back"]) == (free, 0)
    assert free > 100


async def test_free_bytes_are_those_of_the_free_pages(store: SqliteStore, web_app: "Connection") -> None:
    fill(web_app, 2_000)
    web_app.execute("DELETE FROM sessions")
    (free,) = web_app.execute("PRAGMA freelist_count").fetchone()
    await store.prepare()
    assert await store.free_bytes() == free * 4_096 > 0


def size(path: Path) -> int:
    return path.stat().st_size


async def test_sizes_are_those_of_the_file_and_of_its_wal(
    store: SqliteStore, web_app: "Connection", path: Path
) -> None:
    fill(web_app, 100)
    assert await store.sizes() == (size(path), size(path.with_name(f"{path.name}-wal")))


async def test_what_is_not_there_has_no_size(tmp_path: Path) -> None:
    missing = SqliteStore(tmp_path / "missing.db", busy_timeout=0.01, max_lock_time=0.01, clock=SystemClock())
    assert await missing.sizes() == (None, None)


async def test_statistics_that_meet_a_lock_wait_for_the_next_run(store: SqliteStore, web_app: "Connection") -> None:
    await store.prepare()
    web_app.execute("BEGIN IMMEDIATE")
    figures = await store.tidy()
    web_app.execute("ROLLBACK")
    assert figures["pages_given_back"] == 0
