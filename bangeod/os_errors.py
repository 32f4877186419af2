"""What the operating system's errors about files mean: many numbers, few things that somebody can do about them."""

import errno
from enum import Enum, auto
from typing import Final


class Obstacle(Enum):
    """What is in the way of a file. What to do about it, whoever needs the file knows."""

    NO_ROOM = auto()  # on the disk, or in the user's quota
    FORBIDDEN = auto()  # to this user
    READ_ONLY = auto()  # the whole file system is
    MISSING = auto()  # a directory on the way, or the file
    LINKS = auto()  # symbolic ones, that lead in a circle or are not followed
    OTHER = auto()  # the disk itself, say


_OBSTACLES: Final = {
    errno.ENOSPC: Obstacle.NO_ROOM,
    errno.EDQUOT: Obstacle.NO_ROOM,
    errno.EACCES: Obstacle.FORBIDDEN,
    errno.EPERM: Obstacle.FORBIDDEN,
    errno.EROFS: Obstacle.READ_ONLY,
    errno.ENOENT: Obstacle.MISSING,
    errno.ENOTDIR: Obstacle.MISSING,
    errno.ELOOP: Obstacle.LINKS,
}


def obstacle(error: OSError) -> Obstacle:
    """Say what is in the way."""
    return _OBSTACLES.get(error.errno or 0, Obstacle.OTHER)


def reason(error: OSError) -> str:
    """Say it in the system's own words; the few errors that Python raises itself have others."""
    return error.strerror or str(error)
