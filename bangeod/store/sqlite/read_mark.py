"""A read mark of bangeod's own, while it writes much: meanwhile no other process has anything to checkpoint.

With 1,000 frames in the WAL, each commit of the web app's checkpoints, with fsyncs on the web app's time. So bangeod
would have to empty the WAL after every few hundred frames, and that only succeeds with the write lock held for two
fsyncs. But a checkpoint moves no frame that a reader does not know yet (sqlite.org/wal.html, 2.4). So with a reader
that stands where all frames are moved already, the commits of others find nothing to move, in microseconds, however
long the WAL becomes; and what is moved at the end, each page once, is moved without the lock but for the last frames.

The reader is a second connection of this process, on the thread of the first: the kernel drops the locks of a process
that is killed. Moved on, the mark changes to a third one, so that it is set at every moment.
"""

from typing import TYPE_CHECKING

from bangeod.store.sqlite import queries
from bangeod.store.sqlite.engine import IS_SAFE

if TYPE_CHECKING:
    from collections.abc import Callable
    from sqlite3 import Connection


class ReadMark:
    """The mark, if it is set. Used on SQLite's thread only."""

    def __init__(self, connect: "Callable[[], Connection]") -> None:
        self._connect = connect
        self._reader: Connection | None = None
        self._spare: Connection | None = None
        self.is_set = False

    def set(self, writer: "Connection") -> bool:
        """Set the mark at the newest commit, and move all frames up to it; return whether that was possible.

        It is not where a reader knows older frames only, where another process checkpoints just now, where all frames
        are moved (a reader that does without the WAL would keep checkpoints from beginning), nor with an SQLite that
        can't tell (before 3.51) or that has the WAL-reset bug. Raises SQLite errors.
        """
        self.clear()
        if not IS_SAFE:
            return False
        _, frames, moved = writer.execute(queries.LENGTH_OF_WAL).fetchone()
        if moved >= frames:
            return False
        try:
            self.stand()
            busy, _, moved = writer.execute(queries.CHECKPOINT).fetchone()
        except BaseException:
            self.clear()
            raise
        if busy or moved < frames:
            self.clear()
        return self.is_set

    def move_on(self, writer: "Connection") -> None:
        """Set the mark, which is set, at the newest commit, and move all frames up to it. Raises SQLite errors.

        The caller keeps others from checkpointing: they would have to have on the disk what has just been moved.
        """
        before, self._reader, self._spare = self._reader, self._spare, None
        self.is_set = False
        try:
            self.stand()
        finally:
            if before is not None:
                before.execute(queries.ROLLBACK)
            self._spare = before
        writer.execute(queries.CHECKPOINT).fetchall()

    def stand(self) -> None:
        """Have the reader stand at the newest commit: where that is moved already, it reads the database alone."""
        if self._reader is None:
            self._reader = self._connect()
        self._reader.execute(queries.BEGIN_READING)
        self.is_set = True
        self._reader.execute(queries.SCHEMA_VERSION).fetchall()  # a transaction reads from its first statement on

    def clear(self) -> None:
        """Remove the mark; a checkpoint can then move all frames."""
        if self.is_set and self._reader is not None:
            self._reader.execute(queries.ROLLBACK)
        self.is_set = False

    def close(self) -> None:
        """Close the connections of its own."""
        readers, self._reader, self._spare, self.is_set = (self._reader, self._spare), None, None, False
        for reader in readers:
            if reader is not None:
                reader.close()
