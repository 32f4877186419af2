"""Small files of the state directory, each on the disk whole or not at all."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

MODE = 0o600  # the addresses of visitors are nobody else's business


class StateDirectory:
    """The directory of a state file, locked against other bangeods that write there at the same moment."""

    def __init__(self, descriptor: int) -> None:
        self._directory = descriptor

    def replace(self, name: str, content: bytes) -> None:
        """Put ``content`` in the place of the file ``name``, durably. The old one stays where that fails."""
        part = _part(name)
        try:
            self._write(part, content)
            os.rename(part, name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(part, dir_fd=self._directory)
            raise
        os.fsync(self._directory)

    def remove(self, name: str) -> None:
        """Remove the file ``name``, durably, where there is one, and what a crash left of the next one."""
        for each in (name, _part(name)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(each, dir_fd=self._directory)
        os.fsync(self._directory)

    def _write(self, name: str, content: bytes) -> None:
        with contextlib.suppress(FileNotFoundError):  # left behind by a crash
            os.unlink(name, dir_fd=self._directory)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        with os.fdopen(os.open(name, flags, MODE, dir_fd=self._directory), "wb") as file:
            if os.geteuid() == 0:  # by hand: the service's user, whose directory it is, must read it
                owner = os.fstat(self._directory)
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def _part(name: str) -> str:
    return f".{name}.part"


def is_there(path: Path) -> bool:
    """Say whether there is a state file at the path, or what a crash left of it. An OSError where that is hidden."""
    for each in (path, path.with_name(_part(path.name))):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            each.stat()  # not exists(): from Python 3.14 on that is False where a directory is closed
            return True
    return False


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[StateDirectory]:
    """Open a state directory to write in it; make it where only it is missing. Raises OSError."""
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o750)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # a file system without locks: then nobody else can be kept out
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield StateDirectory(descriptor)
    finally:
        os.close(descriptor)


def advice(error: OSError) -> str:
    """Say what to do about a file that could not be written."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "make room on its disk"
        case errno.EACCES | errno.EPERM:
            return "make the directory writable for bangeod's user"
        case errno.EROFS:
            return "mount its file system for writing, or name the directory in the unit's ReadWritePaths="
        case _:
            return "look at the directory and its disk: dmesg, df, mount"


def set_aside(path: Path) -> str:
    """Keep a file that can't be read as ``<path>.bad``; say what became of it, for the log."""
    aside = path.with_name(f"{path.name}.bad")
    try:
        path.rename(aside)
    except OSError as error:
        return f"not kept: {error.strerror}"
    return str(aside)
