"""How fast the daemon answers what it has in memory."""

import statistics
import time
from pathlib import Path
from typing import Final

from tests.benchmarks import databases, samples
from tests.benchmarks.against.builds import Build
from tests.benchmarks.against.comparison import Figure, Figures
from tests.benchmarks.against.lookups import AT_ONCE, looked_up
from tests.benchmarks.against.measured_daemon import MeasuredDaemon
from tests.benchmarks.against.trial import CACHED, IPV6, a_second, daemon_on, fine, repeated
from tests.benchmarks.load import rate
from tests.benchmarks.report import milliseconds
from tests.benchmarks.scale import Scale

REQUESTS: Final = 4_000  # GETs whose time together gives one rate


class Api:
    """How fast the daemon answers what it has in memory."""

    def __init__(self, scale: Scale, directory: Path) -> None:
        self._ips = samples.addresses(scale.of(CACHED), ipv6=IPV6)
        self._times = repeated(scale)
        self._asked = [self._ips[number % len(self._ips)] for number in range(scale.of(REQUESTS))]
        self._batch = [self._ips[number % len(self._ips)] for number in range(AT_ONCE)]
        self._database = directory / "template.db"
        databases.make(self._database, self._ips, int(time.time()), stale=0)
        self.title = f"the API, {len(self._ips):,} addresses in memory"
        self.notes = (
            f"{AT_ONCE:,} addresses a call; medians of {self._times} a turn",
            "the first of the day notes of each address that it was seen, and is measured once",
        )

    def measure(self, build: Build, home: Path) -> Figures:
        """Ask for all, then in each way."""
        with daemon_on(build, home, self._database, {"cache.max_dirty": 2 * len(self._ips)}) as (daemon, _):
            daemon.wait_until_loaded()
            first = looked_up(daemon, self._ips, "cached")
            spent = [self._each_way(daemon) for _ in range(self._times)]
        figures = {figure: statistics.median(turn[figure] for turn in spent) for figure in spent[0]}
        return figures | {Figure("the same, first of the day", milliseconds): first}

    def _each_way(self, daemon: MeasuredDaemon) -> Figures:
        figures: dict[Figure, float] = {}
        for connections, name in ((1, "one connection"), (16, "sixteen connections")):
            before = daemon.cpu_seconds()
            figures[Figure(f"GETs, {name}", a_second, more_is_better=True)] = rate(
                daemon.socket, self._asked, connections
            )
            each = (daemon.cpu_seconds() - before) / len(self._asked)
            figures[Figure(f"GETs, {name}, processor time of each", fine)] = each
        batch = Figure(f"a batch of {len(self._batch):,} known addresses", milliseconds)
        whole = Figure(f"{len(self._ips):,} known addresses, mode cached", milliseconds)
        return figures | {
            batch: looked_up(daemon, self._batch, "resolve"),
            whole: looked_up(daemon, self._ips, "cached"),
        }
