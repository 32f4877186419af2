"""The lock for one daemon per state directory, where the database is a server's: that may have several daemons."""

import contextlib
from pathlib import Path
from typing import Final

from bangeod.errors import AlreadyServedError, StateInUseError, StoreError
from bangeod.service.lock import DatabaseLock

NAME: Final = "daemon"  # of what is locked, in the state directory


class StateLock:
    """The right to what a state directory holds: the times of the jobs, and what could not be written at a stop.

    Where the directory can't be made or written, that is told by whoever wants to write there, and no reason not to
    serve the database.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = DatabaseLock(directory / NAME)

    @property
    def held(self) -> bool:
        return self._lock.held

    def acquire(self) -> None:
        """Take it, without waiting. Raises StateInUseError where another process has it."""
        with contextlib.suppress(OSError):
            self._directory.mkdir(mode=0o750)
        try:
            self._lock.acquire()
        except AlreadyServedError:
            raise StateInUseError(str(self._directory)) from None
        except StoreError:
            return

    def release(self) -> None:
        self._lock.release()
