"""Small files of the state directory, replaced atomically."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from bangeod.atomic_file import AtomicFile
from bangeod.os_errors import Obstacle, obstacle, reason

MODE: Final = 0o600  # the addresses of visitors are private

_ADVICE: Final = {
    Obstacle.NO_ROOM: "make room on its disk",
    Obstacle.FORBIDDEN: "make the directory writable for bangeod's user",
    Obstacle.READ_ONLY: "mount its file system for writing, or name the directory in the unit's ReadWritePaths=",
}


class StateDirectory:
    """The directory of a state file, locked against other bangeods that write there at the same time."""

    def __init__(self, descriptor: int) -> None:
        self._directory = descriptor

    def replace(self, name: str, content: bytes) -> None:
        """Replace the file ``name`` with ``content``, durably. If that fails, the old one stays."""
        part = _part(name)
        with contextlib.suppress(FileNotFoundError):  # left behind by a crash
            os.unlink(part, dir_fd=self._directory)
        with contextlib.closing(AtomicFile(self._directory, part, MODE)) as file:
            file.write(content)
            file.put_in_place(name)

    def remove(self, name: str) -> None:
        """Remove the file ``name``, durably, if it exists, and what a crash left of its next version."""
        for each in (name, _part(name)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(each, dir_fd=self._directory)
        os.fsync(self._directory)


def _part(name: str) -> str:
    return f".{name}.part"


def is_there(path: Path) -> bool:
    """Return whether a state file is at the path, or what a crash left of it. Raises OSError if that can't be seen."""
    for each in (path, path.with_name(_part(path.name))):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            each.stat()  # not exists(): from Python 3.14 on that is False if a directory is closed
            return True
    return False


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[StateDirectory]:
    """Open a state directory for writing; make it if only its last part is missing. Raises OSError."""
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o750)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # a file system without locks: others can't be kept out then
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield StateDirectory(descriptor)
    finally:
        os.close(descriptor)


def advice(error: OSError) -> str:
    """Return what to do about a file that could not be written."""
    return _ADVICE.get(obstacle(error), "look at the directory and its disk: dmesg, df, mount")


class Unreadable(NamedTuple):
    """A file that can't be read or understood, as the log reports it."""

    path: str
    problem: str
    kept_as: str  # a path, or the reason why it is not kept


def set_aside(path: Path, error: Exception, *, look_only: bool = False) -> Unreadable:
    """Keep a file that can't be read as ``<path>.bad``, and log that; with ``look_only`` it stays where it is."""
    return Unreadable(str(path), str(error) or type(error).__name__, str(path) if look_only else _renamed(path))


def _renamed(path: Path) -> str:
    aside = path.with_name(f"{path.name}.bad")
    try:
        path.rename(aside)
    except OSError as error:
        return f"not kept: {reason(error)}"
    return str(aside)
