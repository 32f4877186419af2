"""How soon the daemon is ready, how soon it has all rows in memory, and what they and it take there."""

import statistics
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.benchmarks import databases, samples
from tests.benchmarks.against.builds import Build
from tests.benchmarks.against.comparison import Figure, Figures
from tests.benchmarks.against.measured_daemon import MeasuredDaemon
from tests.benchmarks.against.trial import IPV6, ROWS, daemon_on, fine, in_bytes, in_mib, repeated
from tests.benchmarks.load import Connection, exchange
from tests.benchmarks.memory import bare_load
from tests.benchmarks.report import milliseconds
from tests.benchmarks.scale import Scale
from tests.benchmarks.steps import share

GET_EVERY: Final = 0.002  # seconds
IDLE_TOLERANCE: Final = 0.01  # it hardly differs from one start to the next
SETTLE: Final = 10  # seconds that a daemon is left alone before its memory is read


class Start:
    """From the start to READY, until all rows are in memory, and what they take there."""

    def __init__(self, scale: Scale, directory: Path) -> None:
        self._ips = samples.addresses(scale.of(ROWS), ipv6=IPV6)
        self._settle = max(1, scale.of(SETTLE))
        self._full, self._empty = directory / "full.db", directory / "empty.db"
        databases.make(self._full, self._ips, int(time.time()), stale=0)
        databases.make(self._empty, (), int(time.time()))
        self.title = f"start and memory, {len(self._ips):,} rows"
        bare = statistics.median(bare_load(self._full) for _ in range(repeated(scale)))
        self.notes = (
            "GETs are timed where not all rows are in memory at READY",
            f"a bare cursor loop over the rows, into a dict, takes {milliseconds(bare)}",
        )

    def measure(self, build: Build, home: Path) -> Figures:
        """Start it on each of the databases."""
        with daemon_on(build, home / "empty", self._empty) as (daemon, _):
            ready = daemon.ready_after
            time.sleep(self._settle)
            rss, pss = daemon.memory()
        with daemon_on(build, home / "full", self._full, {"cache.max_entries": 2 * len(self._ips)}) as (daemon, _):
            with _Asking(daemon, self._ips) as asking:
                loaded = daemon.wait_until_loaded()
            processor = daemon.cpu_seconds()
            time.sleep(self._settle)
            grown = daemon.memory()[0] - rss
            figures = {
                Figure("to READY, empty database", milliseconds): ready,
                Figure("to READY, all rows in the database", milliseconds): daemon.ready_after,
                Figure("until all rows are in memory", milliseconds): loaded,
                Figure("processor time until then", milliseconds): processor,
                Figure("an entry, as growth of the process (RSS)", in_bytes): grown / daemon.entries(),
                Figure("idle memory, empty cache, RSS", in_mib, tolerance=IDLE_TOLERANCE): rss,
                Figure("idle memory, empty cache, PSS", in_mib, tolerance=IDLE_TOLERANCE): pss,
            }
        if asking.spent:
            figures[Figure("a GET from READY until all are in memory, 99th percentile", fine)] = share(
                asking.spent, 0.99
            )
        return figures


class _Asking:
    """GETs one address after the other on a thread, as long as the ``with`` block lasts and not all rows are loaded."""

    def __init__(self, daemon: MeasuredDaemon, ips: Sequence[str]) -> None:
        self._daemon = daemon
        self._ips = ips
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="asking")
        self.spent: list[float] = []  # seconds an answer

    def __enter__(self) -> Self:
        if not self._daemon.is_loaded():
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _ask(self) -> None:
        with Connection(self._daemon.socket) as connection:
            while not self._ended.wait(GET_EVERY):
                ip = self._ips[len(self.spent) * 7919 % len(self._ips)]  # here and there in the table
                began = time.perf_counter()
                exchange(connection, connection.get(ip))
                self.spent.append(time.perf_counter() - began)
