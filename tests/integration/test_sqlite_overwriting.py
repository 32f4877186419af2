"""What is deleted can't be read any more, neither in the file nor in a backup."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bangeod.clock import SystemClock
from bangeod.store.sqlite import queries, schema
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.store import SqliteStore
from tests.contract.values import NOW, total

if TYPE_CHECKING:
    from sqlite3 import Connection

EXPIRED, LIVE = b"expired-token-", b"live-token-"
OLD, LATER = "2001-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
ROWS = 3_000  # so many that whole pages become free


@pytest.fixture
def path(tmp_path: Path) -> Path:
    schema.create(tmp_path / "bangui.db")
    return tmp_path / "bangui.db"


@pytest.fixture
def web_app(path: Path) -> Iterator["Connection"]:
    """Open the database as Debian's SQLite does, which overwrites: else rows that it moves leave copies behind."""
    with closing(engine.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        yield connection


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, busy_timeout=1.0, max_lock_time=0.01, clock=SystemClock())
    await store.prepare()
    yield store
    await store.close()


def fill(web_app: "Connection") -> None:
    """Insert expired sessions, then live ones: between them the pages have rows of both."""
    for token, expires_at in ((EXPIRED, OLD), (LIVE, LATER)):
        web_app.execute("BEGIN")
        web_app.executemany(
            "INSERT INTO sessions (token, expires_at) VALUES (?, ?)",
            [(f"{token.decode()}{number:050}", expires_at) for number in range(ROWS)],
        )
        web_app.execute("COMMIT")
    web_app.execute("PRAGMA wal_checkpoint(FULL)").fetchall()


async def contents(path: Path) -> bytes:
    return await asyncio.to_thread(path.read_bytes)


async def test_the_token_of_a_deleted_session_is_nowhere_in_the_file(
    store: SqliteStore, web_app: "Connection", path: Path
) -> None:
    fill(web_app)
    assert (await contents(path)).count(EXPIRED) > ROWS  # in the table and in the index
    assert len((await total(store.delete_expired(NOW))).keys) == ROWS
    web_app.execute("PRAGMA wal_checkpoint(FULL)").fetchall()
    assert web_app.execute("PRAGMA freelist_count").fetchone()[0] > 0
    after = await contents(path)
    assert EXPIRED not in after
    assert after.count(LIVE) > ROWS


async def test_nor_is_it_in_a_backup(store: SqliteStore, web_app: "Connection", path: Path) -> None:
    fill(web_app)
    await total(store.delete_expired(NOW))
    copy = path.with_name("copy.db")
    with closing(engine.connect(copy)) as target:
        web_app.backup(target)
    copied = await contents(copy)
    assert EXPIRED not in copied
    assert LIVE in copied


async def test_fast_would_leave_it_in_pages_that_are_free(
    path: Path, web_app: "Connection", monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is why the pragma says ON, and that the test above would notice."""
    fast = [statement.replace("secure_delete = ON", "secure_delete = FAST") for statement in queries.ON_OPEN]
    monkeypatch.setattr(queries, "ON_OPEN", tuple(fast))
    fill(web_app)
    store = SqliteStore(path, busy_timeout=1.0, max_lock_time=0.01, clock=SystemClock())
    await store.prepare()
    await total(store.delete_expired(NOW))
    await store.close()
    web_app.execute("PRAGMA wal_checkpoint(FULL)").fetchall()
    assert EXPIRED in await contents(path)
