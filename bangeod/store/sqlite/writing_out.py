"""Writing to the disk, little by little, what would be written all at once where somebody waits for it: in an fsync.

A commit of the web app's fsyncs the WAL, and takes several times as long where the disk is busy with the 16 MiB that a
checkpoint has moved. So these are handed to the disk a few at a time before SQLite's own fsync, which then finds hardly
anything left to write. Nothing is taken for written here: what SQLite fsyncs, and when, stays as it is.
"""

import functools
import os
import time
from collections.abc import Callable
from typing import Final

WRITE: Final = 2  # SYNC_FILE_RANGE_WRITE of Linux's uapi/linux/fs.h: begins to write dirty pages, and waits for none
PARTS: Final = 64  # of the file, one after the other
# Bytes a second. Slower than disks are, so that there is room for others in between; what a disk can't take as quickly
# as that is waited for in the next part.
RATE: Final = 256 * 1024 * 1024


def begin_to_write(descriptor: int, start: int = 0, length: int = 0) -> None:
    """Begin to write what is dirty in a part of a file, of 0 bytes: up to its end; nothing where the system can't."""
    _sync_file_range()(descriptor, start, length, WRITE)


def write_out(descriptor: int, dirty: int, *, sleep: Callable[[float], object] = time.sleep) -> None:
    """Write what is dirty in a file, ``dirty`` bytes as far as is known, part by part. Raises OSError."""
    size = os.fstat(descriptor).st_size
    length = max(1, -(-size // PARTS))
    for start in range(0, size, length):
        begin_to_write(descriptor, start, length)
        sleep(dirty / RATE / PARTS)


@functools.cache
def _sync_file_range() -> Callable[[int, int, int, int], int]:
    """Return sync_file_range(2), which Python does not have; in its place where there is none, what does nothing."""
    import ctypes  # noqa: PLC0415 - a third of a megabyte, and an idle daemon writes nothing

    try:
        function = ctypes.CDLL(None).sync_file_range
    except (OSError, AttributeError):  # not Linux
        return lambda *_: 0
    function.argtypes = ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint
    return function
