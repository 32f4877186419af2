"""Rows a second of each job, beside the SQL statement that does the same in one transaction.

There is no web app here. The jobs leave the lock free for longer than they hold it all the same: what this
shows is the price of that.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bangeod.clock import SECONDS_A_DAY, to_text
from bangeod.jobs.job import JobId
from bangeod.model import DirtyEntry
from bangeod.store.sqlite.engine import engine
from tests.benchmarks import databases, plain, samples
from tests.benchmarks.report import Section, medians, milliseconds, per_second, times
from tests.benchmarks.running import done, load, running, settings
from tests.benchmarks.scale import Scale
from tests.support.mmdb.files import nested, write_mmdb

if TYPE_CHECKING:
    from sqlite3 import Connection

ROWS = 100_000
STALE = 50_000
UNRESOLVED = 10_000
SESSIONS = 50_000
EXPIRED = 40_000
DIRTY = 20_000
COUNTRIES = ("US", "DE", "FR", "JP")

FIND_UNRESOLVED = "SELECT ip FROM geo_cache WHERE country_code IS NULL"
RESOLVE = "UPDATE geo_cache SET country_code = ?, country_name = ?, cached_at = ? WHERE ip = ?"


@dataclass(frozen=True, slots=True)
class Inputs:
    """A database for all jobs, and what goes into it."""

    template: Path
    mmdb: Path
    now: int
    dirty: Sequence[DirtyEntry]


def run(scale: Scale, directory: Path) -> Iterator[Section]:
    """Measure each job both ways."""
    inputs = _inputs(scale, directory)
    counts = {
        JobId.GEO_CACHE_FLUSH: len(inputs.dirty),
        JobId.GEO_RE_RESOLVE: scale.of(UNRESOLVED),
        JobId.GEO_CACHE_CLEANUP: scale.of(STALE),
        JobId.SESSION_CLEANUP: scale.of(EXPIRED),
    }
    rows, figures = [], {}
    for job_id, count in counts.items():
        runs = []
        for _ in range(scale.runs):
            with tempfile.TemporaryDirectory(dir=directory) as own:
                bare = _bare(job_id, inputs, databases.copy(inputs.template, Path(own, "bare.db")))
                copy = databases.copy(inputs.template, Path(own, "bangui.db"))
                runs.append({"bare": bare, "job": asyncio.run(_job(job_id, inputs, copy))})
        spent = figures[str(job_id)] = medians(runs)
        rates = (per_second(count, spent["bare"]), per_second(count, spent["job"]))
        rows.append([job_id, f"{count:,}", *rates, milliseconds(spent["job"]), times(spent["job"] / spent["bare"])])
    heads = ("job", "rows", "bare SQL", "the job", "takes", "of bare")
    notes = ["the lock is left free for 1.2 times as long as it is held; re_resolve looks the addresses up, too"]
    yield Section(f"jobs: on {scale.of(ROWS):,} rows", heads, rows, notes, figures)


def _inputs(scale: Scale, directory: Path) -> Inputs:
    now = int(time.time())
    dirty = scale.of(DIRTY)
    ips = samples.addresses(scale.of(ROWS) + dirty // 2)
    known, fresh = ips[: scale.of(ROWS)], ips[scale.of(ROWS) :]
    template = directory / "template.db"
    databases.make(template, known, now, sessions=scale.of(SESSIONS), expired=100 * EXPIRED // SESSIONS)
    with closing(engine.connect(template, isolation_level=None)) as connection:
        connection.execute("UPDATE geo_cache SET country_code = 'US' WHERE country_code IS NULL")
        connection.execute(f"UPDATE geo_cache SET country_code = NULL WHERE rowid % {ROWS // UNRESOLVED} = 0")
    networks = [*(f"{first}.0.0.0/8" for first in range(1, 224)), "2000::/3"]
    places = {network: nested(COUNTRIES[number % len(COUNTRIES)]) for number, network in enumerate(networks)}
    mmdb = write_mmdb(directory / "country.mmdb", places)
    return Inputs(template, mmdb, now, samples.dirty_entries(known[: dirty // 2], fresh, now))


def _bare(job_id: JobId, inputs: Inputs, path: Path) -> float:
    statements: dict[JobId, Callable[[Connection], object]] = {
        JobId.GEO_CACHE_FLUSH: lambda db: db.executemany(plain.UPSERT, plain.upserts(inputs.dirty, inputs.now)),
        JobId.GEO_RE_RESOLVE: lambda db: _resolve(db, inputs.now),
        JobId.GEO_CACHE_CLEANUP: lambda db: db.execute(
            plain.DELETE_STALE, (to_text(inputs.now - samples.RETENTION_DAYS * SECONDS_A_DAY),)
        ),
        JobId.SESSION_CLEANUP: lambda db: db.execute(plain.DELETE_EXPIRED, (to_text(inputs.now),)),
    }
    with closing(engine.connect(path, isolation_level=None)) as connection:
        began = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        statements[job_id](connection)
        connection.execute("COMMIT")
        return time.perf_counter() - began


def _resolve(connection: "Connection", now: int) -> None:
    found = connection.execute(FIND_UNRESOLVED).fetchall()
    connection.executemany(RESOLVE, [("DE", "Germany", to_text(now), ip) for (ip,) in found])


async def _job(job_id: JobId, inputs: Inputs, path: Path) -> float:
    async with running(settings(path, (inputs.mmdb,))) as components:
        await load(components)
        if job_id is JobId.GEO_CACHE_FLUSH:
            components.cache.restore_dirty(inputs.dirty)
        began = time.perf_counter()
        await done(components, job_id)
        spent = time.perf_counter() - began
    if job_id is JobId.GEO_RE_RESOLVE and databases.query(path, f"SELECT count(*) FROM ({FIND_UNRESOLVED})"):
        raise RuntimeError("there are addresses without a country left")
    return spent
