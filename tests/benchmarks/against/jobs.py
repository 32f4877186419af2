"""What the jobs take, and what a web app notices that writes to the same database meanwhile."""

import tempfile
import time
from pathlib import Path
from typing import Final

from tests.benchmarks import databases, geodata, samples
from tests.benchmarks.against.builds import Build
from tests.benchmarks.against.comparison import Figure, Figures
from tests.benchmarks.against.lookups import AT_ONCE, looked_up
from tests.benchmarks.against.measured_daemon import MeasuredDaemon
from tests.benchmarks.against.trial import CACHED, IPV6, ROWS, Trial, count, daemon_on, fine, in_mib, in_seconds
from tests.benchmarks.beside import ALONE, MEASURED, MIB, seen_by
from tests.benchmarks.report import milliseconds
from tests.benchmarks.scale import Scale
from tests.support.web_app.web_app import WebApp

NEW: Final = 100_000  # addresses to be resolved, and to be flushed then
ALONE_SECONDS: Final = 2.0  # that the web app writes without any daemon


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
        with daemon_on(build, home / "embedded", self._database, many) as (daemon, _):
            daemon.wait_until_loaded()
            embedded = looked_up(daemon, self._new, "resolve")
        with daemon_on(build, home / "mmdb", self._database, many | {"geo.mmdb": [str(self._mmdb)]}) as (daemon, path):
            daemon.wait_until_loaded()
            mmdb = looked_up(daemon, self._new, "resolve")
            flush = _beside_web_app(daemon, path, "geo_cache_flush", "flushed", len(self._new))
        return {
            Figure("resolved from an MMDB", milliseconds): mmdb,
            Figure("resolved from the embedded data", milliseconds): embedded,
            **flush,
        }


class Cleanup:
    """A job that deletes half of a table, beside a web app."""

    def __init__(self, job: str, figure: str, template: Path, rows: int) -> None:
        self._job, self._figure, self._template, self._rows = job, figure, template, rows
        self.title = f"{job}, {rows:,} rows of {2 * rows:,}"
        self.notes = ("the web app writes a session every 5 ms", _alone(template, template.parent))

    def measure(self, build: Build, home: Path) -> Figures:
        """Run the job in a daemon that has loaded what there is."""
        settings = {"cache.max_entries": 3 * self._rows}
        with daemon_on(build, home, self._template, settings) as (daemon, database):
            daemon.wait_until_loaded()
            return _beside_web_app(daemon, database, self._job, self._figure, self._rows)


def geo_cache_cleanup(scale: Scale, directory: Path) -> Trial:
    """Return the trial of half of the rows, stale."""
    template, rows = directory / "template.db", scale.of(ROWS)
    databases.make(template, samples.addresses(rows, ipv6=IPV6), int(time.time()), stale=50)
    return Cleanup("geo_cache_cleanup", "deleted", template, rows // 2)


def session_cleanup(scale: Scale, directory: Path) -> Trial:
    """Return the trial of half of the sessions, expired."""
    template, rows = directory / "template.db", scale.of(ROWS)
    databases.make(template, (), int(time.time()), sessions=rows, expired=50)
    return Cleanup("session_cleanup", "deleted_count", template, rows // 2)


def _beside_web_app(daemon: MeasuredDaemon, database: Path, job: str, figure: str, expected: int) -> Figures:
    """Run a job while a web app writes; a RuntimeError where the report's figure is not what is expected."""
    with WebApp(database, MEASURED) as app:
        time.sleep(ALONE)
        before = daemon.cpu_seconds()
        began = time.monotonic()
        report = daemon.run_job(job)
        ended = time.monotonic()
        cpu = daemon.cpu_seconds() - before
        seen = seen_by(app, began, ended)
    if report["figures"].get(figure) != expected:
        raise RuntimeError(f"{daemon.build.name}: not {expected} rows of {job}: {report}")
    return {
        Figure(f"{job}, the job's time", milliseconds): report["duration"],
        Figure(f"{job}, processor time", in_seconds): cpu,
        Figure("the web app's longest wait meanwhile", fine): seen["longest"],
        Figure("the web app's 99th percentile", fine): seen["usual"],
        Figure("the web app's median", fine): seen["median"],
        Figure("its writes that were refused as locked", count): seen["errors"],
        Figure("the largest WAL file", in_mib): seen["wal"] * MIB,
    }


def _alone(template: Path, directory: Path) -> str:
    """Say what the web app's waits are without any daemon."""
    with tempfile.TemporaryDirectory(dir=directory) as own:
        path = databases.copy(template, Path(own, "bangui.db"))
        with WebApp(path, MEASURED) as app:
            began = time.monotonic()
            time.sleep(ALONE_SECONDS)
            seen = seen_by(app, began, time.monotonic())
    waits = (f"{name} {fine(seen[key])}" for name, key in (("longest", "longest"), ("99th percentile", "usual")))
    return f"by itself, without bangeod, the web app waits: {', '.join(waits)}"
