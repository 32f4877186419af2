"""What the system's errors about files mean."""

import errno
import os

import pytest

from bangeod.os_errors import Obstacle, obstacle, reason


@pytest.mark.parametrize(
    ("number", "meaning"),
    [
        (errno.ENOSPC, Obstacle.NO_ROOM),
        (errno.EDQUOT, Obstacle.NO_ROOM),
        (errno.EACCES, Obstacle.FORBIDDEN),
        (errno.EPERM, Obstacle.FORBIDDEN),
        (errno.EROFS, Obstacle.READ_ONLY),
        (errno.ENOENT, Obstacle.MISSING),
        (errno.ENOTDIR, Obstacle.MISSING),
        (errno.ELOOP, Obstacle.LINKS),
        (errno.EIO, Obstacle.OTHER),
    ],
)
def test_each_number_says_what_is_in_the_way(number: int, meaning: Obstacle) -> None:
    error = OSError(number, os.strerror(number))
    assert obstacle(error) is meaning
    assert reason(error) == os.strerror(number)


def test_an_error_without_a_number_has_its_own_words() -> None:
    error = OSError("timed out")
    assert (obstacle(error), reason(error)) == (Obstacle.OTHER, "timed out")
