"""Installing a download in the state directory: it is a separate part file until it is known to be good."""

import contextlib
import os
import pwd
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, NamedTuple

from bangeod.atomic_file import AtomicFile
from bangeod.os_errors import Obstacle, obstacle, reason

MODE: Final = 0o644  # the file holds no secret
DIRECTORY_MODE: Final = 0o750
ABANDONED: Final = 3600.0  # seconds after which no process writes to a part any more

_PART: Final = re.compile(r"\.[\w-]+\.mmdb\.[0-9a-f]{8}\.part")


class Owner(NamedTuple):
    """The user and group that a new directory is made for."""

    uid: int
    gid: int


class Part(AtomicFile):
    """A file that may become ``name`` in the directory; several may exist at once."""

    def __init__(self, directory: Path, directory_fd: int, name: str) -> None:
        part = f".{name}.{secrets.token_hex(4)}.part"
        super().__init__(directory_fd, part, MODE)
        self.path = directory / part

    def share(self) -> None:
        """Let all users read it, whatever the umask says."""
        os.fchmod(self._fd, MODE)

    def reader(self) -> IO[bytes]:
        """Open it for reading, from its beginning."""
        file = os.fdopen(os.dup(self._fd), "rb")
        file.seek(0)
        return file


class Directory:
    """A state directory, open."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._fd = descriptor

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[Part]:
        """Begin a file that may become ``name``; at the end it is installed or deleted. Raises OSError."""
        with contextlib.closing(Part(self._path, self._fd, name)) as part:
            part.share()
            yield part

    def clear(self, now: float) -> None:
        """Remove part files left behind by killed processes; ``now`` is in epoch seconds."""
        with os.scandir(self._fd) as entries:
            for entry in entries:
                if _PART.fullmatch(entry.name):
                    with contextlib.suppress(OSError):
                        if now - entry.stat(follow_symlinks=False).st_mtime > ABANDONED:
                            os.unlink(entry.name, dir_fd=self._fd)


@contextlib.contextmanager
def opened(path: Path, owner: Owner | None, now: float) -> Iterator[Directory]:
    """Open the directory; if only its last part is missing, make it, as root for ``owner``. Raises OSError."""
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
    match obstacle(error):
        case Obstacle.NO_ROOM:
            problem = "no room is left there: free some 50 MiB"
        case Obstacle.FORBIDDEN:
            command = f"sudo -u {_owner_of(directory)} bangeod geodb update"
            problem = f"this user (uid {os.geteuid()}) may not write there: run it as the service's user, {command}"
        case Obstacle.READ_ONLY:
            problem = "its file system is mounted read-only: mount it rw, or set [state] directory to another"
        case Obstacle.MISSING | Obstacle.LINKS:
            problem = "there is no such directory, and it can't be made: set [state] directory to one that is there"
        case _:
            problem = f"{reason(error)}: see to the directory and its disk"
    return f"can't be put in {directory}: {problem}"


def _owner_of(directory: Path) -> str:
    """Return the name of the directory's owner; "bangeod" where that can't be found out, or is root."""
    with contextlib.suppress(OSError, KeyError):
        uid = directory.stat().st_uid
        if uid:
            return pwd.getpwuid(uid).pw_name
    return "bangeod"
