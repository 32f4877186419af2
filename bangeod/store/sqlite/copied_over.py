"""Detecting that another database was copied over the open one: the inode is the same, and SQLite does not notice.

SQLite would go on with the pages that it holds in memory and with the length in the WAL's index, and the next
transaction would put pages of the old database among those of the new. Renaming a backup into place can't cause that;
`cp` can.
"""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bangeod.store.sqlite import queries
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.readers import WalIndex

if TYPE_CHECKING:
    from sqlite3 import Connection

# An older SQLite checkpoints instead of answering, so the WAL's index is read in its place. Where that can't be seen, a
# checkpoint and another database look the same.
KNOWS_THE_WAL = engine.sqlite_version_info >= (3, 51)

Contents = tuple[int, int]  # time of the last change, in nanoseconds, and size in bytes


class _WalHeader(NamedTuple):
    """The state of the WAL."""

    commits: int  # a number that changes with each commit of others
    frames: int  # -1 where there is no WAL: then SQLite itself notices changes of the file
    moved: int  # frames that are in the database

    @property
    def is_emptied(self) -> bool:
        return 0 <= self.frames == self.moved


class OverwriteWatch:
    """Watches the file of one connection. Used on SQLite's thread, outside of transactions.

    Other processes write to the file only in a checkpoint. So if it has changed although nobody has committed and no
    frame was left to move, that was no checkpoint.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._index: WalIndex | None = None
        self._contents: Contents | None = None
        self._wal: _WalHeader | None = None  # its state at these contents, if they include all of its frames

    def look(self, connection: "Connection") -> bool:
        """Drop the pages in memory if the file was written to; return whether it surely is another database now."""
        wal = self._look_at_wal(connection)  # before the file: once the last frame is moved, no checkpoint writes to it
        contents = self._look_at_file()
        surely = False
        if contents != self._contents:
            connection.execute(queries.FORGET_PAGES)
            surely = wal == self._wal == self._look_at_wal(connection)
        self._contents, self._wal = contents, wal if wal.is_emptied else None
        return surely

    def settle(self, connection: "Connection") -> None:
        """Look again where the WAL's state is unknown: a checkpoint of this connection's own commits may have ended."""
        if self._wal is None:
            self.look(connection)

    def committed(self) -> None:
        """Note a commit of this connection: the WAL's state does not distinguish it from an earlier one."""
        self._wal = None

    def _look_at_file(self) -> Contents | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size

    def _look_at_wal(self, connection: "Connection") -> _WalHeader:
        (commits,) = connection.execute(queries.COMMITS_OF_OTHERS).fetchone()
        if KNOWS_THE_WAL:
            _, frames, moved = connection.execute(queries.LENGTH_OF_WAL).fetchone()
            return _WalHeader(commits, frames, moved)
        if self._index is None or not self._index.is_valid:
            self._index = WalIndex.of(self._path)
        view = self._index.state() if self._index is not None else None
        return _WalHeader(commits, view.frames, view.moved) if view is not None else _WalHeader(commits, -1, -1)
