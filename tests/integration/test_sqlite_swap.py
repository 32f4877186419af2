"""Another database takes the path, and the old one's write-ahead log is still there: not one row of it gets across."""

from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bangeod.clock import SystemClock
from bangeod.geo.model import Entry, Geo
from bangeod.store import schema
from bangeod.store.engine import engine
from bangeod.store.sqlite import SqliteStore

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
    async for _ in store.write([Entry(f"8.8.{i}.8", Geo("US"), NOW, NOW) for i in range(200)]):
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


def remove(path: Path) -> None:
    """Do what rm does."""
    path.unlink()


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


async def test_a_log_that_is_still_in_use_is_said(store: SqliteStore, path: Path) -> None:
    with closing(engine.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM geo_cache").fetchone()
        async for _ in store.write([Entry("9.9.9.9", Geo("CH"), NOW, NOW)]):
            pass
        remove(path)
        with capture_logs() as logged:
            await store.close()
    assert [line["event"] for line in logged] == ["old_log_left"]
