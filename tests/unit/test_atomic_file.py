"""Files that are there whole or not at all."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bangeod.atomic_file import AtomicFile

PART = ".x.part"


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def names_in(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_until_it_is_put_in_place_the_old_one_stays(directory: int, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"old")
    with closing(AtomicFile(directory, PART, 0o600)) as file:
        file.write(b"n")
        file.write(b"ew")
        assert (tmp_path / "x").read_bytes() == b"old"
        file.put_in_place("x")
        assert (tmp_path / "x").read_bytes() == b"new"
    assert names_in(tmp_path) == {"x"}


def test_what_is_not_put_in_place_goes(directory: int, tmp_path: Path) -> None:
    with closing(AtomicFile(directory, PART, 0o600)) as file:
        file.write(b"new")
    assert names_in(tmp_path) == set()


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_where_that_fails_the_old_one_stays_and_nothing_else(
    directory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / "x").write_bytes(b"old")
    with closing(AtomicFile(directory, PART, 0o600)) as file:
        file.write(b"new")
        monkeypatch.setattr(os, call, fail)
        with pytest.raises(OSError, match="Input/output error"):
            file.put_in_place("x")
    assert (tmp_path / "x").read_bytes() == b"old"
    assert names_in(tmp_path) == {"x"}


def test_a_part_that_is_there_is_somebody_elses(directory: int, tmp_path: Path) -> None:
    (tmp_path / PART).write_bytes(b"theirs")
    with pytest.raises(FileExistsError):
        AtomicFile(directory, PART, 0o600)
    assert (tmp_path / PART).read_bytes() == b"theirs"


def test_it_has_its_mode_and_the_time_that_is_asked_for(directory: int, tmp_path: Path) -> None:
    with closing(AtomicFile(directory, PART, 0o600)) as file:
        file.put_in_place("x", modified=1_700_000_000.0)
    status = (tmp_path / "x").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime) == (0o600, 1_700_000_000.0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_writes_belongs_to_the_owner_of_the_directory(directory: int, tmp_path: Path) -> None:
    os.chown(tmp_path, 65_534, 65_533)
    with closing(AtomicFile(directory, PART, 0o600)) as file:
        file.put_in_place("x")
    status = (tmp_path / "x").stat()
    assert (status.st_uid, status.st_gid) == (65_534, 65_533)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_that_cannot_be_given_away_is_not_left_behind(
    directory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "fchown", refuse)
    with pytest.raises(PermissionError):
        AtomicFile(directory, PART, 0o600)
    assert names_in(tmp_path) == set()
