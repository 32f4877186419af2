"""Commits of bangeod's that start the WAL over: never beneath the checkpoint of another process."""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bangeod.clock import SystemClock
from bangeod.errors import StoreLockedError
from bangeod.store.sqlite import queries, schema
from bangeod.store.sqlite.connection import SharedFile
from bangeod.store.sqlite.engine import engine
from tests.support.companion import Companion
from tests.support.wal_state import wal_state

if TYPE_CHECKING:
    from sqlite3 import Connection

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the WAL is looked at as Linux has it")

CHECKPOINTING = "tests.support.web_app.checkpointing"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    schema.create(tmp_path / "bangui.db")
    return tmp_path / "bangui.db"


@pytest.fixture
async def file(path: Path) -> AsyncIterator[SharedFile]:
    file = SharedFile(path, busy_timeout=0.05, clock=SystemClock())
    await file.prepare()
    yield file
    await file.close()


@pytest.fixture
def web_app(path: Path, file: SharedFile) -> Iterator["Connection"]:
    with closing(engine.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        log_in(connection)
        yield connection


def log_in(connection: "Connection") -> None:
    connection.execute("INSERT INTO sessions (token) VALUES (hex(randomblob(16)))")


def log_in_twice_apart(connection: "Connection") -> None:
    for _ in range(2):
        connection.execute(queries.BEGIN)
        log_in(connection)
        connection.execute(queries.COMMIT)


async def test_it_waits_where_another_process_checkpoints(file: SharedFile, path: Path, web_app: "Connection") -> None:
    web_app.execute(queries.CHECKPOINT).fetchall()
    before = wal_state(path)
    assert before.starts_over
    with Companion(CHECKPOINTING, path) as checkpointing:
        checkpointing.output.readline()
        for write in (file.write, file.write_apart):
            with pytest.raises(StoreLockedError):
                await write(log_in)
        assert wal_state(path) == before
        web_app.execute("BEGIN IMMEDIATE")  # what waits holds no lock meanwhile
        web_app.execute("ROLLBACK")
        checkpointing.end()
    await file.write(log_in)
    assert wal_state(path).salt != before.salt


@pytest.mark.parametrize("apart", [False, True])
async def test_nobody_checkpoints_meanwhile(
    file: SharedFile, path: Path, web_app: "Connection", *, apart: bool
) -> None:
    web_app.execute(queries.CHECKPOINT).fetchall()
    before = wal_state(path)
    taken: list[bool] = []

    def look_and_log_in(connection: "Connection") -> None:
        taken.append(is_taken(path))
        (log_in_twice_apart if apart else log_in)(connection)

    await (file.write_apart if apart else file.write)(look_and_log_in)
    assert taken == [True]
    assert wal_state(path).salt != before.salt
    assert not is_taken(path)


async def test_where_the_wal_goes_on_a_checkpoint_is_not_waited_for(
    file: SharedFile, path: Path, web_app: "Connection"
) -> None:
    before = wal_state(path)
    assert not before.starts_over
    with Companion(CHECKPOINTING, path) as checkpointing:
        checkpointing.output.readline()
        await file.write(log_in)
        await file.write_apart(log_in_twice_apart)
        checkpointing.end()
    after = wal_state(path)
    assert after.salt == before.salt
    assert after.frames > before.frames


async def test_a_failure_leaves_no_lock(file: SharedFile, path: Path, web_app: "Connection") -> None:
    web_app.execute(queries.CHECKPOINT).fetchall()

    def fail(_connection: "Connection") -> None:
        raise RuntimeError

    for write in (file.write, file.write_apart):
        with pytest.raises(RuntimeError):
            await write(fail)
        assert not is_taken(path)


def is_taken(path: Path) -> bool:
    """Say whether a process that is not this one finds the lock of checkpoints taken."""
    with Companion(CHECKPOINTING, path, "look") as looking:
        answer = looking.output.readline()
        looking.end()
    return answer == "taken\n"
