"""Files that are on the disk whole or not at all: written under another name, then put in place in one step."""

import contextlib
import os
from typing import Final

_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class AtomicFile:
    """A file that is being written, nobody's but ours until ``put_in_place``. Blocks for the disk; raises OSError.

    ``directory`` is a descriptor of where it lies all the time, ``part`` its name there meanwhile. Where root writes
    it, it belongs to the directory's owner: the service's user must be able to read and replace it.
    """

    def __init__(self, directory: int, part: str, mode: int) -> None:
        self._directory = directory
        self._part = part
        self._placed = False
        self._fd = os.open(part, _NEW, mode, dir_fd=directory)
        try:
            if os.geteuid() == 0:
                owner = os.fstat(directory)
                os.fchown(self._fd, owner.st_uid, owner.st_gid)
        except BaseException:
            self.close()
            raise

    def write(self, data: bytes) -> None:
        """Write all of it."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def put_in_place(self, name: str, *, modified: float | None = None) -> None:
        """Let it take the place of the file ``name``, durably. Where that fails, the old one stays.

        ``modified`` is when it was changed last, in seconds since the epoch, where that is not now.
        """
        if modified is not None:
            os.utime(self._fd, (modified, modified))
        os.fsync(self._fd)
        os.rename(self._part, name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        self._placed = True
        os.fsync(self._directory)

    def close(self) -> None:
        """Let go of it; where it is not in place, remove it."""
        os.close(self._fd)
        if not self._placed:
            with contextlib.suppress(OSError):
                os.unlink(self._part, dir_fd=self._directory)
