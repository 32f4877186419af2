"""A datagram socket in systemd's place, and what the daemon said through it."""

import socket
import threading
import time
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.feed import DEADLINE, Feed

Message = dict[str, str]  # the assignments of one datagram


class NotifySocket:
    """Binds a Unix datagram socket and reads it on a thread: the kernel keeps a handful of datagrams only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._feed: Feed[Message] = Feed("the notify socket")
        self._pings: list[float] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._read, name="notify-socket")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.shutdown(socket.SHUT_RD)
        self._thread.join()
        self._socket.close()

    def _read(self) -> None:
        while datagram := self._socket.recv(65_536):
            message = dict(line.split("=", 1) for line in datagram.decode().splitlines())
            if "WATCHDOG" in message:
                self._pings.append(time.monotonic())
            self._feed.add(message)
        self._feed.close()

    def mark(self) -> int:
        """Return how many datagrams have come; ``wait_for(since=…)`` looks at later ones only."""
        return len(self._feed)

    def messages(self, since: int = 0) -> list[Message]:
        """Return what has come."""
        return self._feed.all(since)

    def longest_silence(self, since: float) -> float:
        """Return the seconds, since this monotonic time, for which no watchdog ping came."""
        times = [since, *(at for at in self._pings if at >= since), time.monotonic()]
        return max(later - earlier for earlier, later in pairwise(times))

    def wait_for(
        self, name: str, *, containing: str = "", beginning: str = "", since: int = 0, timeout: float = DEADLINE
    ) -> Message:
        """Return the first datagram with the assignment ``name`` whose value has these texts in it."""
        return self._feed.wait(
            lambda message: name in message and containing in message[name] and message[name].startswith(beginning),
            f"{name}={beginning}…{containing}…",
            since=since,
            timeout=timeout,
        )
