"""A read mark: what the checkpoints of others find to do while it is set. Real connections to a real file."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bangeod.store.sqlite import queries
from bangeod.store.sqlite.copied_over import KNOWS_THE_WAL
from bangeod.store.sqlite.engine import IS_SAFE, engine
from bangeod.store.sqlite.read_mark import ReadMark

if TYPE_CHECKING:
    from sqlite3 import Connection

pytestmark = pytest.mark.skipif(not (IS_SAFE and KNOWS_THE_WAL), reason="not with this SQLite")


def connect(path: Path) -> "Connection":
    connection: Connection = engine.connect(str(path), isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
    return connection


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "web.db"


@pytest.fixture
def writer(path: Path) -> "Iterator[Connection]":
    with closing(connect(path)) as opened:
        opened.execute("CREATE TABLE t (x)")
        opened.execute("INSERT INTO t VALUES (1)")
        yield opened


@pytest.fixture
def other(path: Path, writer: "Connection") -> "Iterator[Connection]":
    with closing(connect(path)) as opened:
        yield opened


@pytest.fixture
def mark(path: Path) -> Iterator[ReadMark]:
    made = ReadMark(lambda: connect(path))
    yield made
    made.close()


def wal(connection: "Connection") -> tuple[int, int]:
    """Return how many frames the WAL has, and how many of them are in the database."""
    _, frames, moved = connection.execute(queries.LENGTH_OF_WAL).fetchone()
    return frames, moved


def checkpoint(connection: "Connection") -> int:
    """Checkpoint as a commit of the web app's does, and return how many frames are in the database then."""
    moved: int = connection.execute(queries.CHECKPOINT).fetchone()[2]
    return moved


def test_setting_it_moves_all_frames_that_there_are(writer: "Connection", mark: ReadMark) -> None:
    assert mark.set(writer)
    frames, moved = wal(writer)
    assert frames == moved > 0


def test_others_find_nothing_to_move_while_it_is_set(writer: "Connection", other: "Connection", mark: ReadMark) -> None:
    assert mark.set(writer)
    _, before = wal(writer)
    for number in range(50):
        other.execute("INSERT INTO t VALUES (?)", (number,))
        writer.execute("INSERT INTO t VALUES (?)", (number,))
    assert checkpoint(other) == before
    assert wal(writer)[0] > before + 90


def test_all_is_moved_once_it_is_removed(writer: "Connection", other: "Connection", mark: ReadMark) -> None:
    mark.set(writer)
    other.execute("INSERT INTO t VALUES (2)")
    mark.clear()
    assert checkpoint(other) == wal(writer)[0]


def test_setting_it_again_moves_it_on(writer: "Connection", other: "Connection", mark: ReadMark) -> None:
    mark.set(writer)
    other.execute("INSERT INTO t VALUES (2)")
    assert mark.set(writer)
    frames, moved = wal(writer)
    assert frames == moved


def test_moved_on_it_moves_what_it_held_back_and_others_find_nothing_still(
    writer: "Connection", other: "Connection", mark: ReadMark
) -> None:
    assert mark.set(writer)
    for number in range(50):
        other.execute("INSERT INTO t VALUES (?)", (number,))
    mark.move_on(writer)
    frames, moved = wal(writer)
    assert frames == moved > 50
    other.execute("INSERT INTO t VALUES (2)")
    assert checkpoint(other) == moved
    assert mark.is_set


def test_moved_on_again_and_again_it_lets_nothing_stand_but_itself(
    writer: "Connection", other: "Connection", mark: ReadMark
) -> None:
    assert mark.set(writer)
    for number in range(5):
        other.execute("INSERT INTO t VALUES (?)", (number,))
        mark.move_on(writer)
    mark.clear()
    other.execute("INSERT INTO t VALUES (2)")
    assert checkpoint(other) == wal(writer)[0]


def test_it_is_not_set_where_all_frames_are_moved(writer: "Connection", other: "Connection", mark: ReadMark) -> None:
    checkpoint(other)
    assert not mark.set(writer)
    other.execute("INSERT INTO t VALUES (2)")
    assert checkpoint(other) == wal(writer)[0]


def test_it_is_not_set_beside_a_reader_who_knows_older_frames_only(
    path: Path, writer: "Connection", mark: ReadMark
) -> None:
    with closing(connect(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM t").fetchall()
        writer.execute("INSERT INTO t VALUES (2)")
        assert not mark.set(writer)
    assert checkpoint(writer) == wal(writer)[0]


def test_the_wal_starts_over_after_it(writer: "Connection", other: "Connection", mark: ReadMark) -> None:
    mark.set(writer)
    for number in range(50):
        writer.execute("INSERT INTO t VALUES (?)", (number,))
    mark.clear()
    checkpoint(writer)
    other.execute("INSERT INTO t VALUES (2)")
    assert wal(writer)[0] < 5


def test_closing_it_ends_it(writer: "Connection", other: "Connection", mark: ReadMark) -> None:
    mark.set(writer)
    other.execute("INSERT INTO t VALUES (2)")
    mark.close()
    assert checkpoint(other) == wal(writer)[0]


def test_an_error_leaves_no_mark(writer: "Connection", other: "Connection") -> None:
    def fail() -> "Connection":
        raise engine.OperationalError("unable to open database file")

    mark = ReadMark(fail)
    with pytest.raises(engine.OperationalError):
        mark.set(writer)
    assert not mark.is_set
    assert checkpoint(other) == wal(writer)[0]
