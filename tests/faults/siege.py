"""The API under siege: honest clients ask all along, and afterwards nothing of the attack may be left."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from bangeod.client import GeoClient, Status
from bangeod.errors import BangeodError
from tests.support.daemon.installation import Installation
from tests.support.daemon.notify_socket import NotifySocket
from tests.support.daemon.process import DaemonProcess, Line
from tests.support.feed import DEADLINE, eventually

CACHED: Final = "8.8.8.8"
EACH: Final = 20  # answers that each honest client has to get before an attack, while it goes on and after it
BETWEEN: Final = 0.005  # seconds between two requests of an honest client
BETWEEN_ROUNDS: Final = 0.001  # seconds; they share this process with the honest clients, who need a turn of it
SETTINGS: Final[Mapping[str, object]] = {"api.enabled": True, "log.level": "info"}
LIMIT: Final = 6  # seconds, of the watchdog; it is fed every two, at most 0.2 late on a busy machine
WATCHDOG: Final = {"WATCHDOG_USEC": str(LIMIT * 1_000_000)}


class Process:
    """What the kernel says of a process."""

    def __init__(self, pid: int) -> None:
        self._proc = Path(f"/proc/{pid}")

    def descriptors(self) -> int:
        """Return how many files it has open."""
        return len(os.listdir(self._proc / "fd"))  # noqa: PTH208 - an iterdir would do no better

    def resident(self) -> float:
        """Return the memory that it has in use, in MiB."""
        return self._memory("VmRSS")

    def peak(self) -> float:
        """Return the most that it has had in use, in MiB, since ``forget_peak``."""
        return self._memory("VmHWM")

    def forget_peak(self) -> None:
        """Let the peak be what it has in use now (proc_pid_clear_refs(5))."""
        (self._proc / "clear_refs").write_text("5")

    def _memory(self, name: str) -> float:
        lines = (self._proc / "status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


class Siege:
    """A daemon with its API open and systemd at its other end."""

    def __init__(self, place: Installation, daemon: DaemonProcess, systemd: NotifySocket) -> None:
        self.path = place.home / "bangeod.sock"
        self.process = Process(daemon.process.pid)
        self._daemon = daemon
        self._systemd = systemd
        with _client(self.path) as client:  # so that what is opened or made once is there
            client.lookup(CACHED)
            eventually(lambda: client.status()["api"]["connections"] == 1, "nobody else is connected")
            self._descriptors = self.process.descriptors() - 1

    def api(self) -> dict[str, Any]:
        """Return what the daemon says of its API."""
        with _client(self.path) as client:
            api: dict[str, Any] = client.status()["api"]
            return api

    @contextmanager
    def laid(self, most: float) -> Iterator["HonestClients"]:
        """Hold the daemon, for the time of the block and after it, to all that it owes its honest clients.

        ``most`` is how much its memory may grow meanwhile, in MiB.
        """
        began, logged = time.monotonic(), self._daemon.mark()
        self.process.forget_peak()
        before = self.process.resident()
        with HonestClients(self.path) as clients:
            clients.are_served()
            yield clients
            clients.are_served()
        assert clients.failures == []
        self._systemd.wait_for("WATCHDOG", since=self._systemd.mark())
        assert self._systemd.longest_silence(began) < LIMIT
        assert self.process.peak() - before < most
        eventually(lambda: self.process.descriptors() <= self._descriptors, "the daemon has closed what it had opened")
        assert troubles(self._daemon.lines(since=logged)) == []


class HonestClients:
    """Two threads that ask without a pause: one keeps its client, one makes a client for each request."""

    def __init__(self, path: Path) -> None:
        self.failures: list[str] = []
        self._path = path
        self._done = threading.Event()
        self._answers = [0, 0]
        self._threads = [threading.Thread(target=ask) for ask in (self._keep, self._renew)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def answers(self) -> tuple[int, ...]:
        """Return how many answers each of them has had."""
        return tuple(self._answers)

    def are_served(self) -> None:
        """Wait until both have had some more answers."""
        before = self.answers()
        eventually(lambda: bool(self.failures) or self._have_since(before), "honest clients are served")
        assert self.failures == []

    def attacked(self, least: int) -> Iterator[int]:
        """Count the rounds of an attack: so many, and then on until both have had some more answers meanwhile."""
        before = self.answers()
        yield from range(least)
        deadline = time.monotonic() + DEADLINE
        for number in count(least):
            assert self.failures == []
            if self._have_since(before):
                return
            assert time.monotonic() < deadline, "honest clients are not served during the attack"
            yield number
            self._done.wait(BETWEEN_ROUNDS)

    def _have_since(self, before: tuple[int, ...]) -> bool:
        return all(now - then >= EACH for now, then in zip(self._answers, before, strict=True))

    def _keep(self) -> None:
        with _client(self._path) as client:
            self._ask_on(0, lambda: client.lookup(CACHED).status)

    def _renew(self) -> None:
        def ask() -> Status:
            with _client(self._path) as client:
                return client.lookup(CACHED).status

        self._ask_on(1, ask)

    def _ask_on(self, number: int, ask: Callable[[], Status]) -> None:
        while not self._done.wait(BETWEEN):
            try:
                status = ask()
            except BangeodError as error:
                self.failures.append(str(error))
                return
            if status is not Status.RESOLVED:
                self.failures.append(f"the status is {status}")
            self._answers[number] += 1


def troubles(lines: list[Line]) -> list[Line]:
    """Return the log lines that nobody can be to blame for but bangeod: errors, tracebacks, what is no log line."""
    return [line for line in lines if line.get("level") in {None, "error", "critical"} or "exception" in line]


def _client(path: Path) -> GeoClient:
    return GeoClient(str(path), timeout=DEADLINE, strict=True)
