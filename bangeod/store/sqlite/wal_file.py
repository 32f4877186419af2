"""The WAL beside the database, found by its name alone: SQLite leaves it to whichever file is at the path."""

import contextlib
import os
from pathlib import Path

from bangeod.store import symlinks
from bangeod.store.sqlite.writing_out import begin_to_write

FileIdentity = tuple[int, int]  # device and inode


def wal_beside(database: Path) -> Path:
    """Return where the WAL of a database is, or would be."""
    return symlinks.beside(database, "-wal")


class WalFile:
    """The WAL that was seen while a database was in its place. SQLite locks nothing in it, so it may be opened."""

    def __init__(self, database: Path) -> None:
        self.path = wal_beside(database)
        self._database = database
        self._seen: FileIdentity | None = None

    def see(self) -> None:
        """Take the WAL that is there now as the database's own; the database must be in its place."""
        self._seen = _identity(self.path)

    def begin_sync(self) -> None:
        """Begin to write what is in it to the disk, without waiting for that; nothing where the system can't.

        A commit of the web app's syncs the whole WAL, so what others have left there to be written costs its time.
        """
        with contextlib.suppress(OSError):
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                begin_to_write(descriptor)
            finally:
                os.close(descriptor)

    def sync(self) -> None:
        """Have what is in it on the disk; a failure is met again by the checkpoint that needs it there."""
        with contextlib.suppress(OSError):
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)

    @property
    def is_known(self) -> bool:
        """Say whether a WAL was seen."""
        return self._seen is not None

    @property
    def is_in_place(self) -> bool:
        """Say whether the WAL that was seen is still there; True if none was seen."""
        return self._seen is None or _identity(self.path) == self._seen

    @property
    def is_empty(self) -> bool:
        """Say whether the WAL is empty or missing."""
        try:
            return self.path.stat().st_size == 0
        except OSError:  # gone
            return True

    @property
    def is_of_the_new_one(self) -> bool:
        """Say whether the WAL was written to after the file now at the path came there.

        A rename sets a file's ctime, as writing to it does; ctime and mtime both come from the kernel's clock, which
        moves on every few milliseconds. What is written in the same step counts as the old file's: the usual case.
        """
        try:
            return self.path.stat().st_mtime_ns > self._database.stat().st_ctime_ns
        except OSError:
            return False


def _identity(path: Path) -> FileIdentity | None:
    """Return device and inode of the file at a path; None where there is none, or they can't be read."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
