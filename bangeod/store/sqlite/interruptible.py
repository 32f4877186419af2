"""One piece of work on SQLite's thread that its caller may give up."""

import threading
from typing import TYPE_CHECKING, TypeVar

from bangeod.store.sqlite.engine import engine

if TYPE_CHECKING:
    from collections.abc import Callable
    from sqlite3 import Connection

T = TypeVar("T")


class Interruptible:
    """Runs the work. Only this work is interrupted, not what runs on the thread before or after it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = False
        self._given_up = False

    def run(self, work: "Callable[[Connection], T]", connection: "Connection") -> T:
        """Run the work, unless it was given up. On SQLite's thread."""
        with self._lock:
            if self._given_up:
                raise engine.OperationalError("interrupted")
            self._running = True
        try:
            return work(connection)
        finally:
            with self._lock:
                self._running = False

    def give_up(self, connection: "Connection") -> bool:
        """Interrupt the work if it is running, else keep it from starting; return whether it is running."""
        with self._lock:
            self._given_up = True
            if self._running:
                connection.interrupt()
            return self._running
