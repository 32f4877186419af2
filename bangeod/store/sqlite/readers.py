"""Who reads the database just now, found without reading it: the read locks of other processes, and what they read.

SQLite's readers hold locks on bytes of the -shm, whose layout is part of SQLite's file format
(sqlite.org/walformat.html, 2). The kernel tells who holds a lock, and the -shm itself is a few numbers. Both are asked
through the descriptor that SQLite has opened: closing one of our own would drop SQLite's locks.
"""

import fcntl
import os
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self

from bangeod.store import symlinks

OPEN_FILES: Final = Path("/proc/self/fd")

_HEADER: Final = struct.Struct("=8xI?xHI12x8s8x")  # iChange, isInit, szPage, mxFrame, aSalt
_CHECKPOINT: Final = struct.Struct("=I5I")  # nBackfill, aReadMark; after two copies of the header
_SIZE: Final = 2 * _HEADER.size + _CHECKPOINT.size
_CHECKPOINT_LOCK: Final = 121  # the byte of WAL_CKPT_LOCK
_READ_LOCKS: Final = 123  # the byte of WAL_READ_LOCK(0); the other slots follow
_LOCK: Final = struct.Struct("hhqqi4x")  # struct flock of Linux: type, whence, start, length, process
_LARGEST_PAGE: Final = 65_536  # bytes; too large for its two bytes, so written as 1


class Reader(NamedTuple):
    """A read lock of another process, and the state of the database that its holder reads."""

    process: int  # its id; 0 for one that can't be seen from here, as the host's from a container
    slot: int  # 0: it reads the database file alone; else the WAL, too, up to ``mark``
    mark: int  # frames


class WalView(NamedTuple):
    """The WAL as its index has it, and who reads it."""

    commits: int  # a number that changes with each commit of any process
    page_size: int  # bytes
    frames: int
    moved: int  # frames that are in the database
    readers: Sequence[Reader] = ()
    salt: bytes = b""  # another one each time that the WAL has started over

    @property
    def starts_over(self) -> bool:
        """Say whether a commit may start the WAL over now: it does where no reader stands in the WAL."""
        return 0 < self.frames == self.moved

    @property
    def movable(self) -> int:
        """Return how many more frames a checkpoint could move now."""
        return max(0, min([self.frames, *map(self.sees, self.readers)]) - self.moved)

    def sees(self, reader: Reader) -> int:
        """Return the frames that a reader knows; more than these are not moved into the database while it reads."""
        return reader.mark if reader.slot else self.moved

    def is_behind(self, reader: Reader) -> bool:
        """Say whether something was committed since a reader began."""
        return self.sees(reader) < self.frames


class WalIndex:
    """The index of the WAL: the -shm, as SQLite has it open. A look takes some 15 µs and waits for nothing."""

    def __init__(self, descriptor: int, identity: tuple[int, int]) -> None:
        self._descriptor = descriptor
        self._identity = identity

    @classmethod
    def of(cls, database: Path) -> Self | None:
        """Return the one of a database that this process has read; None where there is none to be had.

        That is so without a WAL, without /proc, and on other systems than Linux.
        """
        if sys.platform != "linux":
            return None
        path = symlinks.beside(database, "-shm")
        descriptor = own_descriptor(path)
        try:
            return None if descriptor is None else cls(descriptor, _identity(path.stat()))
        except OSError:
            return None

    @property
    def is_valid(self) -> bool:
        """Say whether the descriptor is still SQLite's own; a number may be another file's after that is closed."""
        return _is_of(self._descriptor, self._identity)

    def look(self) -> WalView | None:
        """Return what is there now; None where that can't be told, as while the index is being written."""
        return self._look(range(_CHECKPOINT.size // 4 - 1))

    def state(self) -> WalView | None:
        """Return the WAL without who reads it, in a third of the time."""
        return self._look(())

    def take_checkpoint_lock(self) -> bool:
        """Take SQLite's lock of checkpoints; return whether this process has it now, and nobody else.

        This process's SQLite knows nothing of that: it must not checkpoint until the lock is released.
        """
        if not self.is_valid:
            return False
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _CHECKPOINT_LOCK)
        except OSError:
            return False
        return True

    def release_checkpoint_lock(self) -> None:
        """Release it, if it was taken."""
        if self.is_valid:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, _CHECKPOINT_LOCK)

    def _look(self, slots: Iterable[int]) -> WalView | None:
        if not self.is_valid:
            return None
        try:
            index = os.pread(self._descriptor, _SIZE, 0)
            holders = [self._holder(slot) for slot in slots]
        except OSError:
            return None
        return read(index, holders)

    def _holder(self, slot: int) -> int | None:
        """Return the process that holds the lock of a slot, or one of them; None where no other process does."""
        wanted = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _READ_LOCKS + slot, 1, 0)
        kind, *_, process = _LOCK.unpack(fcntl.fcntl(self._descriptor, fcntl.F_GETLK, wanted))
        return None if kind == fcntl.F_UNLCK else process


def own_descriptor(path: Path) -> int | None:
    """Return a descriptor of a file that this process has open, not to be closed; None where that can't be told."""
    try:
        wanted = _identity(path.stat())
        numbers = [int(entry.name) for entry in OPEN_FILES.iterdir()]
    except OSError:
        return None
    return next((number for number in numbers if _is_of(number, wanted)), None)


def _is_of(descriptor: int, identity: tuple[int, int]) -> bool:
    try:
        return _identity(os.fstat(descriptor)) == identity
    except OSError:
        return False


def read(index: bytes, holders: Sequence[int | None]) -> WalView | None:
    """Read the WAL's index, with the process that holds each slot; None where it is incomplete or being written."""
    if len(index) < _SIZE or index[: _HEADER.size] != index[_HEADER.size : 2 * _HEADER.size]:
        return None
    commits, is_made, page_size, frames, salt = _HEADER.unpack_from(index)
    if not is_made:
        return None
    moved, *marks = _CHECKPOINT.unpack_from(index, 2 * _HEADER.size)
    page_size = _LARGEST_PAGE if page_size == 1 else page_size
    return WalView(commits, page_size, frames, moved, tuple(_readers(holders, marks)), salt)


def _readers(holders: Sequence[int | None], marks: Sequence[int]) -> Iterator[Reader]:
    for slot, (process, mark) in enumerate(zip(holders, marks, strict=False)):  # readers need not be asked for
        if process is not None:
            yield Reader(process, slot, mark)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
