"""The working tree's build beside a commit's, in turns, as whoever uses bangeod sees both: ``--against COMMIT``.

Each trial makes its inputs once, and measures one build at a time: by the command line, by the API over its socket,
by what a web app notices that writes to the same database, and by /proc. A measurement begins with a copy of the
database and a daemon of its own.
"""

import resource
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from tests.benchmarks import builds, databases, geodata, samples
from tests.benchmarks.beside import ALONE, MIB, web_app
from tests.benchmarks.builds import Build, measured_environment
from tests.benchmarks.comparison import Figure, Figures, Measured, summary
from tests.benchmarks.load import Connection, exchange, rate
from tests.benchmarks.measured_daemon import MeasuredDaemon, measured_daemon, post_request
from tests.benchmarks.report import Section, milliseconds
from tests.benchmarks.scale import Scale
from tests.benchmarks.steps import share

ROWS: Final = 1_000_000  # of the table that is loaded, and of those that are cleaned up
IPV6: Final = 0.15  # of the addresses
CACHED: Final = 100_000  # rows of the daemon that the API's figures are of
NEW: Final = 100_000  # addresses to be resolved, and to be flushed then
AT_ONCE: Final = 10_000  # addresses a call, as many as a request to the API may hold
REQUESTS: Final = 4_000  # GETs whose time together gives one rate
REPEATED: Final = 5  # times that what is short is measured a turn; the median counts
GET_EVERY: Final = 0.002  # seconds
SETTLE: Final = 10  # seconds that a daemon is left alone before its memory is read
ALONE_SECONDS: Final = 2.0  # that the web app writes without any daemon
COMMAND_SECONDS: Final = 60  # that a command may take


class Trial(Protocol):
    """Something that is measured of each build."""

    @property
    def title(self) -> str:
        """Return what the table is called."""

    @property
    def notes(self) -> Sequence[str]:
        """Return what is to be said below it."""

    def measure(self, build: Build, home: Path) -> Figures:
        """Return the figures of one build, in one turn; ``home`` is an empty directory."""


def run(commit: str, names: Sequence[str], scale: Scale, directory: Path) -> Iterator[Section]:
    """Measure both in turns. Raises NotToBeHadError where one of them is not to be had."""
    with builds.of_commit(commit) as first, builds.of_working_tree() as second:
        measured = []
        for name in names or TRIALS:
            own = directory / name
            own.mkdir()
            measured.append(_in_turns(TRIALS[name](scale, own), first, second, scale.runs, own))
            yield measured[-1].section((first.name, second.name))
        yield summary(measured)


def _in_turns(trial: Trial, first: Build, second: Build, turns: int, directory: Path) -> Measured:
    """Measure the one first in this turn, the other in the next: what wears off on the way is nobody's."""
    seen: dict[Build, list[Figures]] = {first: [], second: []}
    for turn in range(turns):
        for build in (second, first) if turn % 2 else (first, second):
            with tempfile.TemporaryDirectory(dir=directory) as home:
                seen[build].append(trial.measure(build, Path(home)))
    return Measured(trial.title, seen[first], seen[second], trial.notes)


@contextmanager
def _daemon(
    build: Build, home: Path, template: Path, settings: Mapping[str, object] | None = None
) -> Iterator[tuple[MeasuredDaemon, Path]]:
    """Start a daemon on a copy of a database; hand out both."""
    home.mkdir(exist_ok=True)
    database = databases.copy(template, home / "bangui.db")
    with measured_daemon(build, home, database, settings) as daemon:
        yield daemon, database


# --- commands -------------------------------------------------------------------------------------------------------


class Commands:
    """What a person types, beside a running daemon."""

    title = "commands, beside a running daemon"
    notes = (f"the time of the whole process; medians of {REPEATED} a turn",)

    def __init__(self, scale: Scale, directory: Path) -> None:
        self._ips = samples.addresses(scale.of(CACHED), ipv6=IPV6)
        self._database = directory / "template.db"
        databases.make(self._database, self._ips, int(time.time()), stale=0)

    def measure(self, build: Build, home: Path) -> Figures:
        """Run each, one after the other, several times."""
        with _daemon(build, home, self._database) as (daemon, _):
            daemon.wait_until_loaded()
            config = ("--config", str(daemon.config))
            commands = (("--version",), ("status", *config), ("lookup", self._ips[0], *config), ("check", *config))
            runs = [[_spent(build, command, home) for command in commands] for _ in range(REPEATED)]
        figures: dict[Figure, float] = {}
        for command, spent in zip(commands, zip(*runs, strict=True), strict=True):
            whole, processor = map(statistics.median, zip(*spent, strict=True))
            figures[Figure(f"bangeod {command[0]}", milliseconds)] = whole
            figures[Figure(f"bangeod {command[0]}, processor time", milliseconds)] = processor
        return figures


def _spent(build: Build, command: Sequence[str], home: Path) -> tuple[float, float]:
    """Run a command of bangeod's; return its seconds, and the processor's. A RuntimeError where it could not work."""
    processor, began = _of_children(), time.perf_counter()
    done = subprocess.run(
        [build.program, *command],
        cwd=home,
        env=measured_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    spent = time.perf_counter() - began, _of_children() - processor
    if done.returncode > (command[0] == "check"):  # there may well be something to be said of such an installation
        raise RuntimeError(f"{build.name}: bangeod {' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return spent


def _of_children() -> float:
    """Return the processor time of the processes that were started here and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


# --- start and memory -----------------------------------------------------------------------------------------------


class Start:
    """From the start to READY, until all rows are in memory, and what they take there."""

    notes = ("GETs are timed where not all rows are in memory at READY",)

    def __init__(self, scale: Scale, directory: Path) -> None:
        self._ips = samples.addresses(scale.of(ROWS), ipv6=IPV6)
        self._settle = max(1, scale.of(SETTLE))
        self._full, self._empty = directory / "full.db", directory / "empty.db"
        databases.make(self._full, self._ips, int(time.time()), stale=0)
        databases.make(self._empty, (), int(time.time()))
        self.title = f"start and memory, {len(self._ips):,} rows"

    def measure(self, build: Build, home: Path) -> Figures:
        """Start it on each of the databases."""
        with _daemon(build, home / "empty", self._empty) as (daemon, _):
            ready = daemon.ready_after
            time.sleep(self._settle)
            rss, pss = daemon.memory()
        with _daemon(build, home / "full", self._full, {"cache.max_entries": 2 * len(self._ips)}) as (daemon, _):
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
                Figure("an entry, as growth of the process (RSS)", _bytes): grown / daemon.entries(),
                Figure("idle memory, empty cache, RSS", _mib): rss,
                Figure("idle memory, empty cache, PSS", _mib): pss,
            }
        if asking.spent:
            figures[Figure("a GET from READY until all are in memory, 99th percentile", _fine)] = share(
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


# --- the API --------------------------------------------------------------------------------------------------------


class Api:
    """How fast the daemon answers what it has in memory."""

    def __init__(self, scale: Scale, directory: Path) -> None:
        self._ips = samples.addresses(scale.of(CACHED), ipv6=IPV6)
        self._asked = [self._ips[number % len(self._ips)] for number in range(scale.of(REQUESTS))]
        self._batch = [self._ips[number % len(self._ips)] for number in range(AT_ONCE)]
        self._database = directory / "template.db"
        databases.make(self._database, self._ips, int(time.time()), stale=0)
        self.title = f"the API, {len(self._ips):,} addresses in memory"
        self.notes = (
            f"{AT_ONCE:,} addresses a call; medians of {REPEATED} a turn",
            "the first of the day notes of each address that it was seen, and is measured once",
        )

    def measure(self, build: Build, home: Path) -> Figures:
        """Ask for all, then in each way."""
        with _daemon(build, home, self._database, {"cache.max_dirty": 2 * len(self._ips)}) as (daemon, _):
            daemon.wait_until_loaded()
            first = _looked_up(daemon, self._ips, "cached")
            spent = [
                {
                    Figure("GETs, one connection", _rate, more_is_better=True): rate(daemon.socket, self._asked, 1),
                    Figure("GETs, sixteen connections", _rate, more_is_better=True): rate(
                        daemon.socket, self._asked, 16
                    ),
                    Figure(f"a batch of {AT_ONCE:,} known addresses", milliseconds): _looked_up(
                        daemon, self._batch, "resolve"
                    ),
                    Figure(f"{len(self._ips):,} known addresses, mode cached", milliseconds): _looked_up(
                        daemon, self._ips, "cached"
                    ),
                }
                for _ in range(REPEATED)
            ]
        figures = {figure: statistics.median(turn[figure] for turn in spent) for figure in spent[0]}
        return figures | {Figure("the same, first of the day", milliseconds): first}


def _looked_up(daemon: MeasuredDaemon, ips: Sequence[str], mode: str) -> float:
    """Look up addresses in batches, on one connection; return the seconds."""
    chunks = [ips[start : start + AT_ONCE] for start in range(0, len(ips), AT_ONCE)]
    requests = [post_request("/v1/lookup", {"ips": list(chunk), "mode": mode}) for chunk in chunks]
    with Connection(daemon.socket) as connection:
        began = time.perf_counter()
        answers = [exchange(connection, request) for request in requests]
        spent = time.perf_counter() - began
    count = sum(answer.count(b'"status"') for answer in answers)
    if count != len(ips):
        raise RuntimeError(f"{daemon.build.name}: {count} of {len(ips)} addresses were answered")
    return spent


# --- new addresses, and their flush -----------------------------------------------------------------------------------


class NewAddresses:
    """Addresses that are in no row: resolved, and written then beside a web app."""

    def __init__(self, scale: Scale, directory: Path) -> None:
        ips = samples.addresses(scale.of(CACHED) + scale.of(NEW), ipv6=IPV6)
        self._new = ips[scale.of(CACHED) :]
        self._database, self._mmdb = directory / "template.db", directory / "country.mmdb"
        databases.make(self._database, ips[: scale.of(CACHED)], int(time.time()), stale=0)
        geodata.write_country_file(self._mmdb, nested=True, count=scale.of(geodata.NETWORKS))
        self.title = f"{len(self._new):,} new addresses"
        self.notes = (
            f"resolved {AT_ONCE:,} a call, the MMDB has MaxMind's layout; the web app writes a session every 5 ms",
            _alone(self._database, directory),
        )

    def measure(self, build: Build, home: Path) -> Figures:
        """Resolve them by each source, and flush what the MMDB told."""
        many = {"cache.max_dirty": 2 * len(self._new)}  # else a flush begins by itself
        with _daemon(build, home / "embedded", self._database, many) as (daemon, _):
            daemon.wait_until_loaded()
            embedded = _looked_up(daemon, self._new, "resolve")
        with _daemon(build, home / "mmdb", self._database, many | {"geo.mmdb": [str(self._mmdb)]}) as (daemon, path):
            daemon.wait_until_loaded()
            mmdb = _looked_up(daemon, self._new, "resolve")
            flush = _beside_web_app(daemon, path, "geo_cache_flush", "flushed", len(self._new))
        return {
            Figure("resolved from an MMDB", milliseconds): mmdb,
            Figure("resolved from the embedded data", milliseconds): embedded,
            **flush,
        }


# --- jobs beside a web app ------------------------------------------------------------------------------------------


class Cleanup:
    """A job that deletes half of a table, beside a web app."""

    def __init__(self, job: str, figure: str, template: Path, rows: int) -> None:
        self._job, self._figure, self._template, self._rows = job, figure, template, rows
        self.title = f"{job}, {rows:,} rows of {2 * rows:,}"
        self.notes = ("the web app writes a session every 5 ms", _alone(template, template.parent))

    def measure(self, build: Build, home: Path) -> Figures:
        """Run the job in a daemon that has loaded what there is."""
        settings = {"cache.max_entries": 3 * self._rows}
        with _daemon(build, home, self._template, settings) as (daemon, database):
            daemon.wait_until_loaded()
            return _beside_web_app(daemon, database, self._job, self._figure, self._rows)


def _geo_cache_cleanup(scale: Scale, directory: Path) -> Trial:
    template, rows = directory / "template.db", scale.of(ROWS)
    databases.make(template, samples.addresses(rows, ipv6=IPV6), int(time.time()), stale=50)
    return Cleanup("geo_cache_cleanup", "deleted", template, rows // 2)


def _session_cleanup(scale: Scale, directory: Path) -> Trial:
    template, rows = directory / "template.db", scale.of(ROWS)
    databases.make(template, (), int(time.time()), sessions=rows, expired=50)
    return Cleanup("session_cleanup", "deleted_count", template, rows // 2)


def _beside_web_app(daemon: MeasuredDaemon, database: Path, job: str, figure: str, expected: int) -> Figures:
    """Run a job while a web app writes; a RuntimeError where the report's figure is not what is expected."""
    with web_app(database) as app:
        time.sleep(ALONE)
        before = daemon.cpu_seconds()
        began = time.monotonic()
        report = daemon.run_job(job)
        ended = time.monotonic()
        cpu = daemon.cpu_seconds() - before
        seen = app.finish(began, ended)
    if report["figures"].get(figure) != expected:
        raise RuntimeError(f"{daemon.build.name}: not {expected} rows of {job}: {report}")
    return {
        Figure(f"{job}, the job's time", milliseconds): report["duration"],
        Figure(f"{job}, processor time", _seconds): cpu,
        Figure("the web app's longest wait meanwhile", _fine): seen["longest"],
        Figure("the web app's 99th percentile", _fine): seen["usual"],
        Figure("the web app's median", _fine): seen["median"],
        Figure("the largest WAL file", _mib): seen["wal"] * MIB,
    }


def _alone(template: Path, directory: Path) -> str:
    """Say what the web app's waits are without any daemon."""
    with tempfile.TemporaryDirectory(dir=directory) as own:
        path = databases.copy(template, Path(own, "bangui.db"))
        with web_app(path) as app:
            began = time.monotonic()
            time.sleep(ALONE_SECONDS)
            seen = app.finish(began, time.monotonic())
    waits = (f"{name} {_fine(seen[key])}" for name, key in (("longest", "longest"), ("99th percentile", "usual")))
    return f"by itself, without bangeod, the web app waits: {', '.join(waits)}"


# --- how figures are written ------------------------------------------------------------------------------------------


def _fine(seconds: float) -> str:
    return f"{seconds * 1000:,.2f} ms"


def _seconds(seconds: float) -> str:
    return f"{seconds:,.2f} s"


def _mib(size: float) -> str:
    return f"{size / MIB:,.1f} MiB"


def _bytes(size: float) -> str:
    return f"{size:,.1f} B"


def _rate(number: float) -> str:
    return f"{number:,.0f}/s"


TRIALS: Mapping[str, Callable[[Scale, Path], Trial]] = {
    "commands": Commands,
    "start": Start,
    "api": Api,
    "new": NewAddresses,
    "geo_cache_cleanup": _geo_cache_cleanup,
    "session_cleanup": _session_cleanup,
}
