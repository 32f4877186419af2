"""A checkpoint: all frames of the WAL moved into the database, nearly all of them without the write lock.

Only when at some moment no frame is left to move does the next writer start the WAL over. A PASSIVE checkpoint waits
for nobody and stops nobody. But a web app that goes on writing leaves a few new frames each time, so those are moved
with the lock held (FULL), which ends with an fsync.

The WAL-reset bug (sqlite.org/wal.html) is in an SQLite that checkpoints, before 3.51.3: if the WAL starts over between
its first look at the WAL and the copying, it notes frames as moved that were written since, and they are lost. A FULL
one that finds the write lock taken is a PASSIVE one, too. A WAL can't start over while a reader stands in it; so with
such an SQLite bangeod checkpoints with a reader of its own in the WAL, and where none can stand all is moved already.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from bangeod.store.sqlite import queries
from bangeod.store.sqlite.read_mark import ReadMark
from bangeod.store.sqlite.readers import WalView

if TYPE_CHECKING:
    from sqlite3 import Connection

# SQLite fsyncs the database only in a checkpoint during which nobody wrote; without one before FULL the lock would
# be held for the fsync of all pages. SQLite doesn't report an fsync. But the second or third has so little to move
# that it nearly always fsyncs, and a second one that took this long surely did.
WITHOUT_LOCK = 3
TIME_OF_FSYNC = 0.002  # seconds
FEW_FRAMES = 50  # so many may be moved with the lock held


class Checkpointed(NamedTuple):
    """The result of a checkpoint."""

    frames: int  # the WAL's length at first; -1 where another process checkpoints, or there is no WAL
    emptied: bool
    held: float  # seconds for which the write lock was held


class _Wal(NamedTuple):
    """What a checkpoint reports of the WAL, in frames."""

    frames: int
    left: int  # frames not in the database yet, or at least 1 where that is unknown


def checkpoint(connection: "Connection", *, may_lock: bool = True) -> Checkpointed:
    """Move all frames, unless another process prevents it by reading old frames, a checkpoint or heavy writing.

    Without ``may_lock`` frames that others go on adding stay: nobody ever waits for it.
    """
    lengths = []
    for _ in range(WITHOUT_LOCK):
        began = time.perf_counter()
        wal = _look(connection, queries.CHECKPOINT)
        spent = time.perf_counter() - began
        lengths.append(wal.frames)
        added = _look(connection, queries.LENGTH_OF_WAL).left
        if wal.left or added > FEW_FRAMES:
            return Checkpointed(lengths[0], emptied=False, held=0.0)
        if not added or (len(lengths) > 1 and spent > TIME_OF_FSYNC):
            break
    if not may_lock:
        return Checkpointed(lengths[0], emptied=not added, held=0.0)
    began = time.perf_counter()
    wal = _look(connection, queries.CHECKPOINT_ALL)
    return Checkpointed(lengths[0], emptied=not wal.left, held=time.perf_counter() - began)


def checkpoint_with_reader(
    connection: "Connection", reader: ReadMark, look: Callable[[], WalView | None], *, may_lock: bool = True
) -> Checkpointed:
    """Do as ``checkpoint`` does, with an SQLite that has the WAL-reset bug. ``look`` returns the state of the WAL."""
    length, moved, held = -1, -1, 0.0
    for statement in (*[queries.CHECKPOINT] * WITHOUT_LOCK, queries.CHECKPOINT_ALL):
        wal = look()
        if wal is None or wal.moved in (wal.frames, moved):  # not to be told; or none is left, or can be moved
            break
        if statement == queries.CHECKPOINT_ALL and (not may_lock or wal.frames - wal.moved > FEW_FRAMES):
            break
        length, moved = wal.frames if length < 0 else length, wal.moved
        began = time.perf_counter()
        with _standing(reader, wal, look) as stands:
            if not stands:
                break
            connection.execute(statement).fetchall()
        held = time.perf_counter() - began if statement == queries.CHECKPOINT_ALL else 0.0
    wal = look()
    return Checkpointed(length, emptied=wal is not None and wal.moved == wal.frames, held=held)


@contextlib.contextmanager
def _standing(reader: ReadMark, before: WalView, look: Callable[[], WalView | None]) -> Iterator[bool]:
    """Have the reader stand in the WAL; give whether it does.

    What was not moved when it began is read in the WAL. It may have been moved just before, by another process: then
    the reader reads the database alone, and keeps nobody from starting the WAL over.
    """
    reader.stand()
    try:
        now = look()
        yield now is not None and now.salt == before.salt and now.moved < before.frames
    finally:
        reader.clear()


def _look(connection: "Connection", statement: str) -> _Wal:
    busy, frames, done = connection.execute(statement).fetchone()
    left = frames - done
    return _Wal(frames, max(1, left) if busy else left)
