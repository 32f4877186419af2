"""Where a path leads: SQLite follows symbolic links, and keeps a database's other files beside the file at the end.

So the WAL of ``/etc/bangui.db -> /srv/real.db`` is ``/srv/real.db-wal`` (unixFullPathname in SQLite's os_unix.c).
"""

import contextlib
import os
from pathlib import Path
from typing import Final, NamedTuple, Self

MOST_LINKS: Final = 200  # SQLITE_MAX_SYMLINK; the kernel itself follows 40 (path_resolution(7))


class LinkRoute(NamedTuple):
    """The way to a file: every directory on it must be accessible."""

    directories: tuple[Path, ...]  # in the order in which they are entered
    links: tuple[Path, ...]  # the path of each symbolic link on the way
    end: Path  # free of links, unless they lead in a circle
    is_circle: bool


class LinkedFile(NamedTuple):
    """Which file a path led to when it was looked at."""

    path: Path  # free of links
    device: int
    inode: int

    @classmethod
    def at(cls, path: Path) -> Self:
        """Look where a path leads, by stat() alone. Raises OSError where there is no file."""
        end = real(path)
        status = end.stat()
        return cls(end, status.st_dev, status.st_ino)

    @property
    def is_in_place(self) -> bool:
        """Say whether the file is still where it was found, whatever links lead there now."""
        try:
            return LinkedFile.at(self.path) == self
        except OSError:
            return False


def real(path: Path) -> Path:
    """Return the path of the file that links lead to, whether it exists or not."""
    return Path(os.path.realpath(path))


def beside(path: Path, suffix: str) -> Path:
    """Return where SQLite keeps a file that belongs to a database: its ``-wal``, ``-shm`` or ``-journal``."""
    return Path(f"{real(path)}{suffix}")


def route(path: Path) -> LinkRoute:
    """Follow a path component by component, as the kernel does. A component that can't be read counts as no link."""
    at = Path("/")
    whole = path if path.is_absolute() else Path.cwd() / path
    rest = list(reversed(whole.parts[1:]))
    directories: dict[Path, None] = {}
    links: list[Path] = []
    while rest:
        directories[at] = None
        part = rest.pop()
        following = at.parent if part == ".." else at / part
        target = _target(following) if len(links) < MOST_LINKS else None
        if target is None:
            at = following
            continue
        links.append(following)
        at = Path("/") if target.is_absolute() else at
        rest += reversed(target.parts[1:] if target.is_absolute() else target.parts)
    return LinkRoute(tuple(directories), tuple(dict.fromkeys(links)), at, len(links) == MOST_LINKS)


def _target(path: Path) -> Path | None:
    with contextlib.suppress(OSError):  # no link, not there, or behind a closed directory
        return path.readlink()
    return None
