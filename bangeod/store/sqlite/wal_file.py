"""The WAL beside the database, told by its name alone: SQLite leaves it to whichever file has the path."""

from pathlib import Path

from bangeod.store import symlinks

FileIdentity = tuple[int, int]  # device and inode


def wal_beside(database: Path) -> Path:
    """Return where the WAL of a database is, or would be."""
    return symlinks.beside(database, "-wal")


class WalFile:
    """The log that was seen while a database was in its place. Only stat()ed; that drops none of SQLite's locks."""

    def __init__(self, database: Path) -> None:
        self.path = wal_beside(database)
        self._database = database
        self._seen: FileIdentity | None = None

    def see(self) -> None:
        """Take the WAL that is there for that of the database, which is in its place."""
        self._seen = _identity(self.path)

    @property
    def is_known(self) -> bool:
        """Say whether one was seen."""
        return self._seen is not None

    @property
    def is_in_place(self) -> bool:
        """Say whether the one that was seen, if any, is still there."""
        return self._seen is None or _identity(self.path) == self._seen

    @property
    def is_empty(self) -> bool:
        """Say whether nothing is in it, or none is there."""
        try:
            return self.path.stat().st_size == 0
        except OSError:  # gone
            return True

    @property
    def is_of_the_new_one(self) -> bool:
        """Say whether it was written to after the file that is at the path came there.

        A rename sets the time of a file's last change (ctime) as writing to it does; both times are the kernel's.
        """
        try:
            return self.path.stat().st_mtime_ns > self._database.stat().st_ctime_ns
        except OSError:
            return False


def _identity(path: Path) -> FileIdentity | None:
    """Return which file is at a path; None where there is none, or it can't be told."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
