"""What is read from the index of the WAL, and that readers of other processes are seen."""

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bangeod.store.sqlite import readers, schema
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.readers import Reader, WalIndex, WalView
from tests.support.companion import Companion

if TYPE_CHECKING:
    from sqlite3 import Connection

READING = "tests.support.web_app.reading"
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="locks are asked for as Linux has it")
NO_HOLDERS = [None] * 5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    schema.create(tmp_path / "bangui.db")
    return tmp_path / "bangui.db"


@pytest.fixture
def connection(path: Path) -> Iterator["Connection"]:
    with closing(engine.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        commit(connection)
        yield connection


def commit(connection: "Connection") -> None:
    connection.execute("INSERT INTO sessions (token) VALUES (hex(randomblob(16)))")


def looked(probe: WalIndex | None) -> WalView:
    assert probe is not None
    view = probe.look()
    assert view is not None
    return view


@ON_LINUX
def test_the_frames_of_the_wal_are_those_that_sqlite_tells_of(path: Path, connection: "Connection") -> None:
    probe = WalIndex.of(path)
    for statement in ("PRAGMA wal_checkpoint(NOOP)", "PRAGMA wal_checkpoint(PASSIVE)"):
        _, frames, moved = connection.execute(statement).fetchone()
        view = looked(probe)
        assert (view.frames, view.moved, view.readers) == (frames, moved, ())
        assert view.page_size == connection.execute("PRAGMA page_size").fetchone()[0]


@ON_LINUX
def test_each_commit_changes_the_number_of_commits(path: Path, connection: "Connection") -> None:
    before = looked(WalIndex.of(path)).commits
    commit(connection)
    assert looked(WalIndex.of(path)).commits == before + 1


@ON_LINUX
def test_another_process_that_reads_is_seen_with_the_state_that_it_reads(path: Path, connection: "Connection") -> None:
    probe = WalIndex.of(path)
    with Companion(READING, path) as reading:
        process = int(reading.output.readline())
        view = looked(probe)
        (reader,) = view.readers
        assert (reader.process, view.sees(reader)) == (process, view.frames)
        assert not view.is_behind(reader)
        assert view.movable == view.frames - view.moved
        commit(connection)
        view = looked(probe)
        assert view.is_behind(reader)
        assert 0 < view.movable < view.frames
        reading.end()
    assert looked(probe).readers == ()


@ON_LINUX
def test_one_that_reads_the_file_alone_keeps_all_frames_where_they_are(path: Path, connection: "Connection") -> None:
    probe = WalIndex.of(path)
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    with Companion(READING, path) as reading:
        reading.output.readline()
        view = looked(probe)
        assert [reader.slot for reader in view.readers] == [0]
        assert not view.is_behind(view.readers[0])
        commit(connection)
        view = looked(probe)
        assert view.is_behind(view.readers[0])
        assert view.movable == 0


@ON_LINUX
def test_a_descriptor_that_was_closed_is_not_asked(path: Path, connection: "Connection") -> None:
    probe = WalIndex.of(path)
    connection.close()
    with Path("/dev/null").open():  # may have the number now
        assert probe is not None
        assert probe.look() is None


def test_without_a_wal_there_is_no_probe(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(engine.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
        assert WalIndex.of(path) is None


def test_without_proc_there_is_no_probe(path: Path, connection: "Connection", monkeypatch: pytest.MonkeyPatch) -> None:
    assert connection.in_transaction is False
    monkeypatch.setattr(readers, "OPEN_FILES", path.parent / "nothing")
    assert WalIndex.of(path) is None


SALT = b"saltsalt"


def header(*, commits: int = 1, made: int = 1, page_size: int = 4096, frames: int = 9) -> bytes:
    numbers = [(3_007_000, 4), (0, 4), (commits, 4), (made, 1), (0, 1), (page_size, 2), (frames, 4)]
    known = b"".join(number.to_bytes(size, sys.byteorder) for number, size in numbers)
    return known.ljust(32, b"\0") + SALT + bytes(8)


def rest(moved: int, *marks: int) -> bytes:
    return b"".join(number.to_bytes(4, sys.byteorder) for number in (moved, *marks))


UNUSED = 0xFFFFFFFF


def test_the_index_is_read_as_sqlites_documentation_has_it() -> None:
    index = header(commits=7, frames=9) * 2 + rest(4, 0, 6, 9, UNUSED, UNUSED)
    view = readers.read(index, [None, 11, 12, None, None])
    assert view == WalView(7, 4096, 9, 4, (Reader(11, 1, 6), Reader(12, 2, 9)), SALT)
    assert view.movable == 2


def test_the_largest_page_size_is_written_as_one() -> None:
    view = readers.read(header(page_size=1) * 2 + rest(0, 0, 0, 0, 0, 0), NO_HOLDERS)
    assert view is not None
    assert view.page_size == 65_536


@pytest.mark.parametrize(
    "index",
    [
        b"",
        header() * 2,
        header(frames=8) + header(frames=9) + rest(0, 0, 0, 0, 0, 0),
        header(made=0) * 2 + rest(0, 0, 0, 0, 0, 0),
    ],
    ids=["empty", "cut off", "being written", "not made yet"],
)
def test_an_index_that_is_incomplete_says_nothing(index: bytes) -> None:
    assert readers.read(index, NO_HOLDERS) is None
