"""Emptying the write-ahead log into the database, so that it starts over and stays short.

That takes a moment at which no frame is left to be moved; whoever writes next then begins the log anew. Nearly
all of it is done without the write lock: a PASSIVE checkpoint waits for nobody and stops nobody. But a web app
that goes on writing meanwhile leaves a few frames behind each time, so those are done with the lock held (FULL).
"""

import time
from typing import TYPE_CHECKING, NamedTuple

from bangeod.store import queries

if TYPE_CHECKING:
    from sqlite3 import Connection

# SQLite fsyncs the database only in a checkpoint that nobody has written beside; without one before FULL the lock would
# be held for the fsync of all the pages. It doesn't say whether it did. But the second or third has so little to move
# that it nearly always does, and where the second took this long it surely has.
WITHOUT_LOCK = 3
TIME_OF_FSYNC = 0.002  # seconds
FEW_FRAMES = 50  # so many may be moved with the lock held


class Outcome(NamedTuple):
    """What became of it."""

    frames: int  # the length of the log at first; -1 where another one is checkpointing, or there is no log
    emptied: bool
    held: float  # seconds for which the write lock was held


class _Log(NamedTuple):
    """What a checkpoint says of the log, in frames."""

    frames: int
    left: int  # what is not in the database yet, or at least 1 where it can't be told


def checkpoint(connection: "Connection") -> Outcome:
    """Move all frames, unless others are in the way: a reader of old frames, a checkpoint, a great writer."""
    lengths = []
    for _ in range(WITHOUT_LOCK):
        began = time.perf_counter()
        log = _look(connection, queries.CHECKPOINT)
        spent = time.perf_counter() - began
        lengths.append(log.frames)
        added = _look(connection, queries.LENGTH_OF_LOG).left
        if log.left or added > FEW_FRAMES:
            return Outcome(lengths[0], emptied=False, held=0.0)
        if not added or (len(lengths) > 1 and spent > TIME_OF_FSYNC):
            break
    began = time.perf_counter()
    log = _look(connection, queries.CHECKPOINT_ALL)
    return Outcome(lengths[0], emptied=not log.left, held=time.perf_counter() - began)


def _look(connection: "Connection", statement: str) -> _Log:
    busy, frames, done = connection.execute(statement).fetchone()
    left = frames - done
    return _Log(frames, max(1, left) if busy else left)
