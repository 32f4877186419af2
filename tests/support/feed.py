"""What arrives from another process: kept in order by a thread, waited for with a deadline and without sleeping."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

DEADLINE = 30.0  # seconds: far longer than anything takes, so that only a real fault is ever reported
SHOWN, LATEST = 400, 30  # characters of each item, and items, in the report of a failure

T = TypeVar("T")


class Feed(Generic[T]):
    """Items from one source. One thread adds, another waits."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._items: list[T] = []
        self._closed = False
        self._changed = threading.Condition()

    def add(self, item: T) -> None:
        """Take in the next item."""
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    def close(self) -> None:
        """Say that nothing more will come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def all(self, since: int = 0) -> list[T]:
        """Return what has come, from the item number ``since`` on."""
        with self._changed:
            return self._items[since:]

    def __len__(self) -> int:
        with self._changed:
            return len(self._items)

    def wait(self, wanted: Callable[[T], bool], what: str, *, since: int = 0, timeout: float = DEADLINE) -> T:
        """Return the first item from number ``since`` on that is wanted, as soon as it is there."""
        deadline = time.monotonic() + timeout
        looked_at = since
        with self._changed:
            while True:
                for item in self._items[looked_at:]:
                    looked_at += 1
                    if wanted(item):
                        return item
                left = deadline - time.monotonic()
                if self._closed or left <= 0:
                    why = "ended" if self._closed else f"said nothing of it within {timeout:g} s"
                    told = "\n".join(str(item)[:SHOWN] for item in self._items[-LATEST:])
                    raise AssertionError(f"waited for {what}, but {self._name} {why}; it said last:\n{told}")
                self._changed.wait(left)


def eventually(condition: Callable[[], bool], what: str, *, timeout: float = DEADLINE) -> None:
    """Wait until a condition of the outside world holds: a row in a file that another process writes, say."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout:g} s")
        pause.wait(0.02)
