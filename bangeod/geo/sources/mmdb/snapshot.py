"""A private copy of a file in memory: whatever happens to the file later, the copy does not change.

A mapped file that is truncated in place kills its reader with SIGBUS; the copy can't be truncated.
"""

import contextlib
import errno
import fcntl
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from bangeod.errors import SourceError
from bangeod.os_errors import reason

MAX_BYTES: Final = 1 << 30  # the largest databases sold are some hundreds of MiB

_CHUNK: Final = 1 << 20
_NOEXEC_SEAL: Final = 0x8  # MFD_NOEXEC_SEAL of memfd_create(2), Linux 6.3; some machines insist on it
_SEAL_TRIES: Final = 5
_SEALS: Final = fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class Signature(NamedTuple):
    """What distinguishes one state of a file from another.

    The modification time alone is not enough: an older file may be moved into place. ``changed_ns`` also changes with
    a chmod that makes a file readable.
    """

    device: int
    inode: int
    modified_ns: int
    changed_ns: int
    size: int


def _signature(status: os.stat_result) -> Signature:
    return Signature(status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)


def signature(path: Path) -> Signature | None:
    """Return the state of the file at the path; None where there is no file. Raises SourceError."""
    try:
        return _signature(path.stat())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


class Snapshot:
    """A copy of a file in a sealed memory file; closing it does not affect existing maps of it."""

    def __init__(self, path: Path) -> None:
        """Copy the file now. Blocks. Raises SourceError."""
        try:
            self.fd, self.signature = _copy(path)
        except (OSError, ValueError) as error:
            raise _unreadable(path, error) from error

    @property
    def path(self) -> str:
        """Return a path at which this process, and children that were given the descriptor, can open the copy."""
        return f"/proc/self/fd/{self.fd}"

    def close(self) -> None:
        """Close the copy; a second call does nothing."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _copy(path: Path) -> tuple[int, Signature]:
    # O_NONBLOCK: otherwise opening a named pipe put at the path would wait for its writer.
    source = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        before = os.fstat(source)
        _check(path, before)
        copy = _memory_file()
        try:
            _fill(copy, source, path)
            _check_unchanged(path, before, os.fstat(source))
            _seal(copy)
        except BaseException:
            os.close(copy)
            raise
    finally:
        os.close(source)
    return copy, _signature(before)


def _seal(copy: int) -> None:
    """Seal the copy against changes. Linux refuses that, after 0.15 s, while it still holds one of the pages."""
    for left in reversed(range(_SEAL_TRIES)):
        try:
            fcntl.fcntl(copy, *_SEALS)
        except OSError as error:
            if error.errno != errno.EBUSY or not left:
                raise
        else:
            return


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SourceError(str(path), "is not a regular file: give the path of an .mmdb file")
    if not status.st_size:
        raise SourceError(str(path), "is empty: fetch it again")
    if status.st_size > MAX_BYTES:
        raise SourceError(str(path), f"is larger than {MAX_BYTES >> 20} MiB: no geo database is")


def _check_unchanged(path: Path, before: os.stat_result, after: os.stat_result) -> None:
    if _signature(after) != _signature(before):
        raise SourceError(str(path), "changed while it was being read; it is read again within a minute")


def _fill(copy: int, source: int, path: Path) -> None:
    """Copy all that can be read. Raises SourceError above the limit, also for a file that grows meanwhile."""
    total = 0
    while chunk := os.read(source, _CHUNK):
        total += len(chunk)
        if total > MAX_BYTES:
            raise SourceError(str(path), f"is larger than {MAX_BYTES >> 20} MiB: no geo database is")
        view = memoryview(chunk)
        while view:
            view = view[os.write(copy, view) :]


def _memory_file() -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    with contextlib.suppress(OSError):
        return os.memfd_create("bangeod-mmdb", flags | _NOEXEC_SEAL)
    return os.memfd_create("bangeod-mmdb", flags)


def _unreadable(path: Path, error: OSError | ValueError) -> SourceError:
    if not isinstance(error, OSError):
        return SourceError(str(path), f"can't be read: {error}")
    advice = {
        errno.EACCES: "; let the service's user read it and search its directories",
        errno.ENOENT: "; check the path, or fetch the file",
    }.get(error.errno or 0, "")
    return SourceError(str(path), f"can't be read: {reason(error)}{advice}")
