"""A file on its way into the state directory: written under a name of its own, then put in place in one step."""

import contextlib
import errno
import os
import pwd
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, NamedTuple

MODE: Final = 0o644  # there is no secret in it
DIRECTORY_MODE: Final = 0o750
ABANDONED: Final = 3600.0  # seconds after which nobody writes to a part any more

_PART: Final = re.compile(r"\.[\w-]+\.mmdb\.[0-9a-f]{8}\.part")


class Owner(NamedTuple):
    """Whom a directory is made for."""

    uid: int
    gid: int


class Part:
    """A file that is being written, nobody's but ours until ``put_in_place``."""

    def __init__(self, directory: Path, directory_fd: int, name: str) -> None:
        self._directory_fd = directory_fd
        self._name = f".{name}.{secrets.token_hex(4)}.part"
        self.path = directory / self._name
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(self._name, flags, MODE, dir_fd=directory_fd)
        self._placed = False

    def share(self) -> None:
        """Give it the mode and, where root writes it, the owner by which the service can read and replace it."""
        os.fchmod(self._fd, MODE)
        if os.geteuid() == 0:
            owner = os.fstat(self._directory_fd)
            os.fchown(self._fd, owner.st_uid, owner.st_gid)

    def write(self, data: bytes) -> None:
        """Write all of it. Raises OSError."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def reader(self) -> IO[bytes]:
        """Open it to be read from its beginning."""
        file = os.fdopen(os.dup(self._fd), "rb")
        file.seek(0)
        return file

    def put_in_place(self, name: str, modified: float | None) -> None:
        """Let it take the place of the file ``name``, durably, with the time at which its maker changed it last."""
        if modified is not None:
            os.utime(self._fd, (modified, modified))
        os.fsync(self._fd)
        os.rename(self._name, name, src_dir_fd=self._directory_fd, dst_dir_fd=self._directory_fd)
        self._placed = True
        os.fsync(self._directory_fd)

    def close(self) -> None:
        """Let go of it; where it is not in place, remove it."""
        os.close(self._fd)
        if not self._placed:
            with contextlib.suppress(OSError):
                os.unlink(self._name, dir_fd=self._directory_fd)


class Directory:
    """A state directory, open."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._fd = descriptor

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[Part]:
        """Begin a file that may become ``name``; at the end it is in its place or gone. Raises OSError."""
        part = Part(self._path, self._fd, name)
        try:
            part.share()
            yield part
        finally:
            part.close()

    def clear(self, now: float) -> None:
        """Remove what was left behind by processes that were killed; ``now`` is in epoch seconds."""
        with os.scandir(self._fd) as entries:
            for entry in entries:
                if _PART.fullmatch(entry.name):
                    with contextlib.suppress(OSError):
                        if now - entry.stat(follow_symlinks=False).st_mtime > ABANDONED:
                            os.unlink(entry.name, dir_fd=self._fd)


@contextlib.contextmanager
def opened(path: Path, owner: Owner | None, now: float) -> Iterator[Directory]:
    """Open the directory; where only it is missing, make it, as root for ``owner``. Raises OSError."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=DIRECTORY_MODE)
        if owner and os.geteuid() == 0:
            os.chown(path, owner.uid, owner.gid)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        directory = Directory(path, descriptor)
        directory.clear(now)
        yield directory
    finally:
        os.close(descriptor)


def explain(error: OSError, directory: Path) -> str:
    """Say why nothing could be written there, and what to do."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            problem = "no room is left there: free some 50 MiB"
        case errno.EACCES | errno.EPERM:
            command = f"sudo -u {_owner_of(directory)} bangeod geodb update"
            problem = f"this user (uid {os.geteuid()}) may not write there: run it as the service's user, {command}"
        case errno.EROFS:
            problem = "its file system is mounted read-only: mount it rw, or set [state] directory to another"
        case errno.ENOENT | errno.ENOTDIR | errno.ELOOP:
            problem = "there is no such directory, and it can't be made: set [state] directory to one that is there"
        case _:
            problem = f"{error.strerror or error}: see to the directory and its disk"
    return f"can't be put in {directory}: {problem}"


def _owner_of(directory: Path) -> str:
    """Name the user whose directory it is; where that can't be seen, or is root, the usual one."""
    with contextlib.suppress(OSError, KeyError):
        uid = directory.stat().st_uid
        if uid:
            return pwd.getpwuid(uid).pw_name
    return "bangeod"
