"""Another database takes the path, and the old one's write-ahead log is still there: not one row of it gets across."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from pathlib import Path
from random import Random

import pytest
from structlog.testing import capture_logs

from bangeod.clock import SystemClock
from bangeod.errors import StoreError, StoreFullError, StoreReplacedError
from bangeod.model import DirtyEntry, Geo
from bangeod.store.sqlite import copied_over, schema
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.store import SqliteStore
from bangeod.store.sqlite.wal_file import wal_beside
from tests.support.web_app.web_app import WebApp

FULL = 13  # sqlite.org/rescode.html
NOW = 1_795_305_600
INSERT = "INSERT INTO sessions (token, expires_at) VALUES (?, '2099-01-01T00:00:00Z')"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "bangui.db"
    schema.create(path)
    return path


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, busy_timeout=0.02, max_lock_time=0.01, clock=SystemClock())
    await store.prepare()
    async for _ in store.write([DirtyEntry(f"8.8.{i}.8", Geo("US"), NOW, NOW) for i in range(200)]):
        pass
    yield store
    await store.close()


def make_backup(path: Path) -> Path:
    """Make another database with one session, beside ``path``."""
    backup = path.with_name("backup.db")
    schema.create(backup)
    with closing(engine.connect(backup, isolation_level=None)) as connection:
        connection.execute(INSERT, ("kept",))
    return backup


def put(backup: Path, path: Path) -> None:
    """Do what mv does."""
    backup.replace(path)


def copy(backup: Path, path: Path) -> None:
    """Do what cp does."""
    shutil.copyfile(backup, path)


def remove(path: Path) -> None:
    """Do what rm does."""
    path.unlink()


def fill(path: Path, network: str, rows: int, *, seed: int) -> None:
    """Put rows into geo_cache whose keys lie all over the index."""
    chance = Random(seed)
    ips = (f"{network}.{chance.randrange(256)}.{chance.randrange(256)}" for _ in range(rows))
    with closing(engine.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT OR IGNORE INTO geo_cache (ip, country_code) VALUES (?, 'NO')", ((ip,) for ip in ips)
        )


def keys(path: Path) -> set[str]:
    with closing(engine.connect(path)) as connection:
        return {ip for (ip,) in connection.execute("SELECT ip FROM geo_cache NOT INDEXED")}


async def write(store: SqliteStore, *ips: str) -> None:
    async for _ in store.write([DirtyEntry(ip, Geo("US"), NOW, NOW) for ip in ips]):
        pass


def contents(path: Path) -> tuple[list[str], int, str]:
    with closing(engine.connect(path)) as connection:
        tokens = [token for (token,) in connection.execute("SELECT token FROM sessions")]
        rows = connection.execute("SELECT count(*) FROM geo_cache").fetchone()[0]
        return tokens, rows, connection.execute("PRAGMA integrity_check").fetchone()[0]


async def test_a_renamed_backup_is_found_whole(store: SqliteStore, path: Path) -> None:
    put(make_backup(path), path)
    assert await store.prepare() is True
    assert contents(path) == (["kept"], 0, "ok")
    async for _ in store.delete_expired(NOW):
        pass
    assert contents(path) == (["kept"], 0, "ok")


async def test_a_backup_that_comes_after_the_old_file_was_seen_to_be_gone_is_found_whole(
    store: SqliteStore, path: Path
) -> None:
    backup = make_backup(path)
    remove(path)
    with pytest.raises(Exception, match="no such database"):
        await store.prepare()
    put(backup, path)
    assert await store.prepare() is True
    assert contents(path) == (["kept"], 0, "ok")


async def test_a_stop_leaves_nothing_behind_that_would_get_into_the_new_one(store: SqliteStore, path: Path) -> None:
    put(make_backup(path), path)
    await store.close()
    assert contents(path) == (["kept"], 0, "ok")


# --- what a web app commits to the new one lies in the same log ---


def _is_later(wal: Path, path: Path) -> bool:
    """Say whether the kernel's clock for files, which moves on every few milliseconds, has done so since the rename."""
    return wal.stat().st_mtime_ns > path.stat().st_ctime_ns


async def commit_to_another(store: SqliteStore, path: Path, worker: WebApp) -> list[str]:
    """Put a backup in the place of what is open, and commit to it; return the sessions that it has then."""
    await store.prepare()  # the old one's log is in it: what is in the log from now on is the new one's
    put(make_backup(path), path)
    for number in range(20):
        worker.execute(f"INSERT INTO sessions (token, expires_at) VALUES ('new {number:02}', '2099-01-01T00:00:00Z')")
    while not _is_later(wal_beside(path), path):
        worker.execute("UPDATE sessions SET created_at = random() WHERE token = 'kept'")
    return ["kept", *(f"new {number:02}" for number in range(20))]


async def test_what_was_committed_to_a_renamed_backup_stays_when_it_is_found(store: SqliteStore, path: Path) -> None:
    with WebApp(path) as worker:
        expected = await commit_to_another(store, path, worker)
        assert await store.prepare() is True
        assert worker.execute("SELECT token FROM sessions") == [[token] for token in expected]
    await write(store, "20.0.0.1")
    await store.close()
    assert contents(path) == (expected, 1, "ok")


async def test_what_was_committed_to_a_renamed_backup_stays_at_a_stop(store: SqliteStore, path: Path) -> None:
    with WebApp(path) as worker:
        expected = await commit_to_another(store, path, worker)
        await store.close()
    assert contents(path) == (expected, 0, "ok")


async def test_what_was_committed_to_a_renamed_backup_stays_when_a_write_is_refused(
    store: SqliteStore, path: Path
) -> None:
    """After a write the log is moved into the database: the old one, it would be."""
    with WebApp(path) as worker:
        expected = await commit_to_another(store, path, worker)
        with pytest.raises(StoreReplacedError):
            await write(store, "20.0.0.1")
        assert worker.execute("SELECT token FROM sessions") == [[token] for token in expected]
    assert await store.prepare() is True
    await store.close()
    assert contents(path) == (expected, 0, "ok")


async def test_a_log_that_is_still_in_use_is_said(store: SqliteStore, path: Path) -> None:
    with closing(engine.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM geo_cache").fetchone()
        async for _ in store.write([DirtyEntry("9.9.9.9", Geo("CH"), NOW, NOW)]):
            pass
        remove(path)
        with capture_logs() as logged:
            await store.close()
    assert [line["event"] for line in logged] == ["old_log_left"]


@pytest.mark.parametrize("rows", [300, 2990, 3000, 9000], ids=["smaller", "about as large", "as large", "larger"])
async def test_a_backup_that_is_copied_over_in_place_is_found_whole(store: SqliteStore, path: Path, rows: int) -> None:
    """SQLite holds pages of the old database and does not notice; they must not get among those of the new one."""
    fill(path, "30.1", 3000, seed=1)
    async for _ in store.rows():
        pass
    await write(store, "20.0.0.1")
    backup = make_backup(path)
    fill(backup, "31.1", rows, seed=2)
    expected = keys(backup)
    copy(backup, path)
    with suppress(StoreError):
        await write(store, "20.0.0.2")
    assert await store.prepare() is True
    await write(store, *(f"20.1.{number}.1" for number in range(200)))
    await store.close()
    assert keys(path) - {f"20.1.{number}.1" for number in range(200)} == expected
    assert contents(path)[::2] == (["kept"], "ok")


async def test_a_backup_that_is_copied_over_in_place_after_a_failed_write_is_noticed(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is when people put one back: the disk was full, say."""

    def fail(*_: object) -> None:
        error = engine.OperationalError("database or disk is full")
        error.sqlite_errorcode = FULL
        raise error

    with monkeypatch.context() as patched:
        patched.setattr("bangeod.store.sqlite.store.write_slice", lambda file, *_, **__: file.write(fail))
        with pytest.raises(StoreFullError):
            await write(store, "20.0.0.1")
    copy(make_backup(path), path)
    assert await store.prepare() is True


async def test_readers_of_a_database_that_is_replaced_are_told_so(store: SqliteStore, path: Path) -> None:
    """Whoever has begun to read when the file is closed, and is not served yet, meets a closed connection."""

    async def read_on() -> None:
        with suppress(StoreReplacedError):
            while True:
                await store.find(["8.8.1.8"])

    for number in range(20):
        reading = [asyncio.create_task(read_on()) for _ in range(8)]
        await asyncio.sleep(0)
        backup = path.with_name(f"backup {number}.db")
        schema.create(backup)
        put(backup, path)
        assert await store.prepare() is True
        await asyncio.gather(*reading)


# Whether SQLite tells the state of the WAL, or its index is read instead, as with one before 3.51.
ASKS = pytest.mark.parametrize("asks", sorted({copied_over.KNOWS_THE_WAL, False}))


@ASKS
async def test_an_older_copy_of_the_same_database_is_told_from_it(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch, *, asks: bool
) -> None:
    monkeypatch.setattr(copied_over, "KNOWS_THE_WAL", asks)
    backup = path.with_name("backup.db")
    shutil.copyfile(path, backup)
    await write(store, "20.0.0.1")
    copy(backup, path)
    assert await store.prepare() is True
    assert await store.prepare() is False
    assert "20.0.0.1" not in keys(path)


@ASKS
async def test_what_others_write_and_checkpoint_is_no_other_database(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch, *, asks: bool
) -> None:
    monkeypatch.setattr(copied_over, "KNOWS_THE_WAL", asks)

    def write_on() -> None:
        with closing(engine.connect(path, timeout=30, isolation_level=None)) as connection:
            connection.execute("PRAGMA wal_autocheckpoint = 1")
            for number in range(2_000):
                connection.execute(INSERT, (f"token {number}",))

    writing = asyncio.ensure_future(asyncio.to_thread(write_on))
    while not writing.done():
        assert await store.prepare() is False
    await writing


async def test_a_log_that_was_taken_away_is_missed_before_anything_is_written_to_it(
    store: SqliteStore, path: Path
) -> None:
    """What stood in it nobody else would see, and who makes a new one does not heed this one's locks."""
    for suffix in ("-wal", "-shm"):
        remove(path.with_name(path.name + suffix))
    with pytest.raises(StoreReplacedError):
        await write(store, "20.0.0.1")
    assert await store.prepare() is True
    await write(store, "20.0.0.1")
    assert "20.0.0.1" in keys(path)


async def test_a_backup_is_not_opened_before_the_old_log_is_out_of_use(store: SqliteStore, path: Path) -> None:
    """Whoever opens it replays the log that is there into it."""
    with closing(engine.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM geo_cache").fetchone()
        await write(store, "20.0.0.1")
        put(make_backup(path), path)
        for _ in range(2):
            with pytest.raises(StoreReplacedError, match="still uses the old one's log"):
                await store.prepare()
        reader.execute("COMMIT")
    assert await store.prepare() is True
    assert contents(path) == (["kept"], 0, "ok")
