"""A checkpoint by an SQLite with the WAL-reset bug: the WAL does not start over while it lasts."""

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bangeod.store.sqlite import queries, schema
from bangeod.store.sqlite.checkpoint import FEW_FRAMES, checkpoint, checkpoint_with_reader
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.read_mark import ReadMark
from bangeod.store.sqlite.readers import WalView
from tests.support.wal_state import wal_state

if TYPE_CHECKING:
    from sqlite3 import Connection, Cursor

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the WAL is looked at as Linux has it")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    schema.create(tmp_path / "bangui.db")
    return tmp_path / "bangui.db"


def connect(path: Path) -> "Connection":
    connection: Connection = engine.connect(path, timeout=0, isolation_level=None)
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


@pytest.fixture
def web_app(path: Path) -> Iterator["Connection"]:
    with closing(connect(path)) as connection:
        log_in(connection)
        yield connection


@pytest.fixture
def reader(path: Path) -> Iterator[ReadMark]:
    mark = ReadMark(lambda: connect(path))
    yield mark
    mark.close()


@pytest.fixture
def look(path: Path, web_app: "Connection") -> Callable[[], WalView]:
    assert web_app.in_transaction is False
    return partial(wal_state, path)


def log_in(connection: "Connection", times: int = 1) -> None:
    for _ in range(times):
        connection.execute("INSERT INTO sessions (token) VALUES (hex(randomblob(16)))")


class Interrupted:
    """A connection that has something happen just before each checkpoint."""

    def __init__(self, path: Path, before: Callable[[], object]) -> None:
        self._connection = connect(path)
        self._before = before
        self.checkpoints: list[str] = []

    def execute(self, statement: str) -> "Cursor":
        if statement in (queries.CHECKPOINT, queries.CHECKPOINT_ALL):
            self.checkpoints.append(statement)
            self._before()
        return self._connection.execute(statement)

    def close(self) -> None:
        self._connection.close()


def test_it_moves_all_frames(path: Path, web_app: "Connection", reader: ReadMark, look: Callable[[], WalView]) -> None:
    log_in(web_app, 20)
    frames = look().frames
    with closing(connect(path)) as connection:
        assert checkpoint_with_reader(connection, reader, look) == (frames, True, 0.0)
    assert look().moved == frames
    log_in(web_app)
    assert look().frames < frames  # it has started over: no reader is left


def test_where_all_is_moved_it_does_not_checkpoint(
    path: Path, web_app: "Connection", reader: ReadMark, look: Callable[[], WalView]
) -> None:
    web_app.execute(queries.CHECKPOINT).fetchall()
    with closing(Interrupted(path, lambda: None)) as connection:
        assert checkpoint_with_reader(connection, reader, look).emptied  # type: ignore[arg-type]
        assert connection.checkpoints == []


def test_what_the_bug_needs_can_happen_to_the_checkpoint_of_others(
    path: Path, web_app: "Connection", look: Callable[[], WalView]
) -> None:
    """All is moved, and as the checkpoint begins, a commit starts the WAL over: the two tests below mean something."""
    web_app.execute(queries.CHECKPOINT).fetchall()
    before = look()
    with closing(Interrupted(path, lambda: log_in(web_app))) as connection:
        checkpoint(connection)  # type: ignore[arg-type]
    assert look().salt != before.salt


def test_no_commit_starts_the_wal_over_while_it_lasts(
    path: Path, web_app: "Connection", reader: ReadMark, look: Callable[[], WalView]
) -> None:
    before = look()
    salts: list[bytes] = []

    def checkpoint_and_log_in() -> None:
        web_app.execute(queries.CHECKPOINT).fetchall()
        log_in(web_app)
        salts.append(look().salt)

    with closing(Interrupted(path, checkpoint_and_log_in)) as connection:
        checkpoint_with_reader(connection, reader, look)  # type: ignore[arg-type]
        assert queries.CHECKPOINT_ALL in connection.checkpoints
    assert len(salts) > 1
    assert set(salts) == {before.salt}


def test_it_is_left_where_another_process_was_faster(
    path: Path, web_app: "Connection", look: Callable[[], WalView]
) -> None:
    """Then the reader would read the database alone, and could not keep the WAL from starting over."""

    def be_faster() -> "Connection":
        web_app.execute(queries.CHECKPOINT).fetchall()
        return connect(path)

    reader = ReadMark(be_faster)
    with closing(Interrupted(path, lambda: None)) as connection:
        assert checkpoint_with_reader(connection, reader, look).emptied  # type: ignore[arg-type]
        assert connection.checkpoints == []
    reader.close()


def test_what_a_reader_of_others_holds_back_is_tried_once(
    path: Path, web_app: "Connection", reader: ReadMark, look: Callable[[], WalView]
) -> None:
    with closing(connect(path)) as backup:
        backup.execute("BEGIN")
        backup.execute("SELECT * FROM sessions").fetchall()
        log_in(web_app, 2)
        with closing(Interrupted(path, lambda: None)) as connection:
            assert not checkpoint_with_reader(connection, reader, look).emptied  # type: ignore[arg-type]
            assert len(connection.checkpoints) <= 2
            assert 0 < look().moved < look().frames


def test_the_lock_is_not_taken_for_many_frames(
    path: Path, web_app: "Connection", reader: ReadMark, look: Callable[[], WalView]
) -> None:
    with closing(Interrupted(path, lambda: log_in(web_app, FEW_FRAMES + 1))) as connection:
        assert not checkpoint_with_reader(connection, reader, look).emptied  # type: ignore[arg-type]
        assert set(connection.checkpoints) == {queries.CHECKPOINT}


def test_a_wal_that_can_not_be_looked_at_is_left(path: Path, web_app: "Connection", reader: ReadMark) -> None:
    log_in(web_app)
    with closing(Interrupted(path, lambda: None)) as connection:
        assert checkpoint_with_reader(connection, reader, lambda: None) == (-1, False, 0.0)  # type: ignore[arg-type]
        assert connection.checkpoints == []
