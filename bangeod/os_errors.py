"""Errors of the operating system about files, grouped by what somebody can do about them."""

import errno
from enum import Enum, auto
from typing import Final


class Obstacle(Enum):
    """Why a file can't be used. What to do about it is up to the module that needs the file."""

    NO_ROOM = auto()  # on the disk, or in the user's quota
    FORBIDDEN = auto()  # to this user
    READ_ONLY = auto()  # the whole file system is
    MISSING = auto()  # a directory on the way, or the file
    LINKS = auto()  # symbolic links that form a loop or are not followed
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
    return _OBSTACLES.get(error.errno or 0, Obstacle.OTHER)


def reason(error: OSError) -> str:
    """Return the message of the operating system; the few errors that Python itself raises have another."""
    return error.strerror or str(error)
