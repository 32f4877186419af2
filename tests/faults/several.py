"""Several daemons on one server's database, each on a host of its own: ended, started again, and what stays of it.

What a daemon answered and did is told apart by its lives: one that was killed may take with it what waited to be
written.
"""

import asyncio
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import datetime
from itertools import count
from types import TracebackType
from typing import Final, NamedTuple, Self

from bangeod.client import AsyncGeoClient
from tests.support.daemon.installation import Installation
from tests.support.daemon.process import DaemonProcess, Line
from tests.support.feed import DEADLINE

TOGETHER: Final = 4  # addresses in one lookup; the last of them all hosts are asked about
EVERY: Final = 0.04  # seconds between two lookups
PATIENCE: Final = 4 * DEADLINE  # seconds: so many processes may have to wait for each other on a machine
# What a job says when it has done its work.
DONE: Final = {
    "session_cleanup_ran": "session_cleanup",
    "geo_cache_cleanup_ran": "geo_cache_cleanup",
    "geo_re_resolve_complete": "geo_re_resolve",
    "geo_re_resolve_skip": "geo_re_resolve",
}
SHARED_JOBS: Final = frozenset(DONE.values())  # the work of these is anybody's; what it has to flush, each daemon knows


class Done(NamedTuple):
    """A job that has done its work."""

    job: str
    host: int
    at: float  # seconds since the epoch, by the daemon's log


class Life:
    """A daemon from its start to its end."""

    def __init__(self, host: int, daemon: DaemonProcess) -> None:
        self.daemon = daemon
        self.is_ended = False
        self.ended_well = False
        self.answered: list[tuple[float, str]] = []  # when, and about which address
        self.flushes: list[float] = []  # when each was over
        self.done: list[Done] = []
        self.troubles: list[Line] = []  # what it said that is more than info
        self._host = host
        self._read = 0

    def read(self) -> None:
        """Take note of what it has said by now."""
        lines = self.daemon.lines(since=self._read)
        self._read += len(lines)
        for line in lines:
            if line["event"] == "geo_cache_flush_ran":
                self.flushes.append(moment(line))
            elif line["event"] in DONE:
                self.done.append(Done(DONE[line["event"]], self._host, moment(line)))
            if line.get("level") not in ("debug", "info"):
                self.troubles.append(line)

    @property
    def written(self) -> set[str]:
        """The addresses that it was asked about and that have a row for good.

        All of them, if it ended by itself: what it could not write is in a file for the next. Else those that waited
        when a flush began that came to its end; of that is known that the flush before was over.
        """
        before = float("inf") if self.ended_well else self.flushes[-2] if len(self.flushes) > 1 else 0.0
        return {ip for at, ip in self.answered if at < before}


def moment(line: Line) -> float:
    """Return when a line was logged, in seconds since the epoch."""
    return datetime.fromisoformat(line["timestamp"]).timestamp()


class Host:
    """One of several: its installation, the lives of its daemon, and who asks that for addresses all the time."""

    def __init__(self, number: int, place: Installation) -> None:
        self.number = number
        self.place = place
        self.lives: list[Life] = []
        self._running = ExitStack()
        self._ended = threading.Event()
        self._visitors = threading.Thread(target=lambda: asyncio.run(self._ask()), name=f"visitors-{number}")

    def __enter__(self) -> Self:
        self._visitors.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._visitors.join()
        self._running.close()

    def let_no_more_ask(self) -> None:
        """Have the visitors go."""
        self._ended.set()
        self._visitors.join()

    # --- its daemon ---

    @property
    def life(self) -> Life:
        """The latest one."""
        return self.lives[-1]

    @property
    def daemon(self) -> DaemonProcess:
        return self.life.daemon

    def start(self) -> None:
        """Start the daemon; it is not ready yet."""
        self._running.close()
        self.lives.append(Life(self.number, self._running.enter_context(DaemonProcess(self.place.config))))

    def kill(self) -> bool:
        """Kill the daemon, unless it has ended by itself as it was told to; return whether it was killed."""
        self.daemon.process.kill()
        status = self.daemon.ended(PATIENCE)
        assert status in (0, -signal.SIGKILL), f"host {self.number}'s daemon ended with {status}"
        self._end(well=status == 0)
        return status != 0

    def stop(self) -> None:
        """Stop the daemon as systemd does."""
        self.daemon.send(signal.SIGTERM)
        status = self.daemon.ended(PATIENCE)
        assert status == 0, f"host {self.number}'s daemon ended with {status}"
        self._end(well=True)

    def _end(self, *, well: bool) -> None:
        self.life.is_ended = True
        self.life.ended_well = well
        self.life.read()

    def read(self) -> None:
        """Take note of what its daemon has said, which has to be there, unless it was ended."""
        assert self.life.is_ended or self.daemon.is_alive, f"host {self.number}'s daemon has ended by itself"
        self.life.read()

    # --- who asks it ---

    async def _ask(self) -> None:
        alone, together = self.number + 20, 17  # of whose networks the addresses are
        async with AsyncGeoClient(str(self.place.socket)) as client:
            for turn in count():
                if self._ended.is_set():
                    return
                ips = [address(alone, turn * TOGETHER + n) for n in range(TOGETHER - 1)] + [address(together, turn)]
                asked = self.lives[-1:]
                entries = await client.lookup_batch(ips)
                if asked and asked == self.lives[-1:]:  # else nobody knows which of them has answered
                    now = time.time()
                    asked[0].answered += [(now, entry.ip) for entry in entries if entry.status == "resolved"]
                await asyncio.sleep(EVERY)


def address(network: int, number: int) -> str:
    """Return the address of this number in a network of 2^24."""
    return f"{network}.{number >> 16}.{number >> 8 & 0xFF}.{number & 0xFF}"


def done(hosts: Iterable[Host], since: float, *jobs: str) -> list[Done]:
    """Return what these jobs, or all, did on all hosts after a moment, the earliest first."""
    wanted = jobs or SHARED_JOBS
    every = (each for host in hosts for life in host.lives for each in life.done)
    found = [each for each in every if each.at > since and each.job in wanted]
    return sorted(found, key=lambda done: done.at)


def shares(hosts: Iterable[Host]) -> dict[str, dict[int, int]]:
    """Return how often each job did its work on each host."""
    counted: dict[str, Counter[int]] = {job: Counter() for job in sorted(SHARED_JOBS)}
    for each in done(hosts, 0.0):
        counted[each.job][each.host] += 1
    return {job: dict(sorted(on.items())) for job, on in counted.items()}
