"""Atomic writing of files: under a temporary name first, then moved into place in one step."""

import contextlib
import os
from typing import Final

_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class AtomicFile:
    """A file that is being written, used by nobody else until ``put_in_place``. Blocks for the disk; raises OSError.

    ``directory`` is a descriptor of the directory, ``part`` the temporary name there. When root writes the file, it
    gets the owner of the directory: the service's user must be able to read and replace it.
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
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def put_in_place(self, name: str, *, modified: float | None = None) -> None:
        """Replace the file ``name`` with this one, durably. If that fails, the old one stays.

        ``modified`` is the modification time to set, in seconds since the epoch; None is now.
        """
        if modified is not None:
            os.utime(self._fd, (modified, modified))
        os.fsync(self._fd)
        os.rename(self._part, name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        self._placed = True
        os.fsync(self._directory)

    def close(self) -> None:
        """Close the file; remove it if it was not put in place."""
        os.close(self._fd)
        if not self._placed:
            with contextlib.suppress(OSError):
                os.unlink(self._part, dir_fd=self._directory)
