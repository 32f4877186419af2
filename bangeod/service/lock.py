"""The lock for one daemon per database: an flock on a file beside the database."""

import contextlib
import fcntl
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Self

from bangeod.errors import (
    AlreadyServedError,
    StoreError,
    StoreFullError,
    StoreMissingError,
    StoreReadOnlyError,
)
from bangeod.os_errors import Obstacle, obstacle, reason
from bangeod.store import symlinks
from bangeod.store.sqlite import faults

SUFFIX = ".bangeod-lock"
MODE = 0o644  # to flock a file one must be able to open it: the service locks a file made by root, too
ATTEMPTS = 10  # at locking a file that others keep replacing


class DatabaseLock:
    """The right to serve a database, held until ``release`` or the end of the process.

    The file is never removed: a process that waits for it, or has just opened it, would hold a lock that nobody else
    sees. It is beside the real file, with links followed, so that two paths to one database share one lock; the
    database itself is not opened and need not exist.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._path: Path | None = None
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        return self._descriptor is not None

    def acquire(self) -> None:
        """Take the lock, without waiting. Taking it again has no effect, unless a link points elsewhere by now.

        Raises AlreadyServedError if another process holds it, StoreError if the file can't be made; a lock held before
        is still held then.
        """
        path = self._place()
        if self.held and path == self._path:
            return
        for _ in range(ATTEMPTS):
            descriptor = self._lock(path)
            if descriptor is not None:
                self.release()
                self._descriptor, self._path = descriptor, path
                return
        raise StoreError(str(self._database), f"its lock file {path} keeps being replaced", "find out what does that")

    def release(self) -> None:
        """Release the lock, if it is held."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):  # closing would be enough, but a child just forked may have a copy
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _place(self) -> Path:
        way = symlinks.route(self._database)
        if way.is_circle:
            raise faults.missing(self._database)
        return symlinks.beside(way.end, SUFFIX)

    def _lock(self, path: Path) -> int | None:
        """Open and lock the file; None if the file was replaced in between, so that the lock is worthless."""
        try:
            descriptor = _open(path)
        except OSError as error:
            raise _explain(error, self._database, path) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, descriptor):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise AlreadyServedError(str(self._database)) from None
        except OSError as error:
            os.close(descriptor)
            raise _explain(error, self._database, path) from error
        os.close(descriptor)
        return None


def _open(path: Path) -> int:
    # O_NONBLOCK: if the file is a named pipe, opening it must not wait for a writer.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        # First without O_CREAT: with it, the kernel refuses another user's file in a sticky directory.
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        descriptor = os.open(path, flags | os.O_CREAT, MODE)
    with contextlib.suppress(OSError):  # another user's file; it is readable, since it was opened
        if stat.S_IMODE(os.fstat(descriptor).st_mode) & MODE != MODE:  # because of the umask
            os.fchmod(descriptor, MODE)
    return descriptor


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


def _explain(error: OSError, database_path: Path, path: Path) -> StoreError:
    database, problem = str(database_path), f"its lock file {path} can't be made ({reason(error)})"
    match obstacle(error):
        case Obstacle.MISSING if symlinks.route(database_path).links:
            return faults.missing(database_path)
        case Obstacle.MISSING:
            return StoreMissingError(
                database,
                f"there is no directory {path.parent}",
                "create it, or correct the path of the database in the config",
            )
        case Obstacle.NO_ROOM:
            return StoreFullError(database, problem, "free some room")
        case Obstacle.READ_ONLY:
            advice = (
                f"mount the file system of {path.parent} for writing, or name it in the unit's ReadWritePaths=; where "
                "it came after the service had started, restart that"
            )
        case Obstacle.FORBIDDEN:
            advice = f"let bangeod's user write in {path.parent}"
        case _:
            advice = f"move away what is at {path}"
    return StoreReadOnlyError(database, problem, advice)
