"""What a web app notices of each job, beside the plain way: one statement in one transaction.

A second process (tests/support/web_app) writes a row every 5 ms, before, during and after the job.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import aiosqlite

from bangeod.clock import SECONDS_A_DAY, to_text
from bangeod.jobs.job import JobId
from bangeod.model import DirtyEntry
from bangeod.store.sqlite.engine import engine
from tests.benchmarks import databases, plain, samples
from tests.benchmarks.beside import MEASURED, beside_web_app, seen_by
from tests.benchmarks.report import Section, medians, milliseconds, times, verdict
from tests.benchmarks.running import done, load, running, settings
from tests.benchmarks.scale import Scale
from tests.support.web_app.web_app import WebApp

ROWS = 1_000_000
SESSIONS = 200_000
EXPIRED = 80  # percent
DIRTY = 100_000
LARGEST_WAL = 8.0  # MiB
USUAL_STEP = 0.020  # seconds
LONGEST_STEP = 0.050  # seconds


class Bars(NamedTuple):
    """What a job is to reach, as parts and multiples of the plain way; None where there is no bar."""

    longest: float  # the web app's longest wait: at most the plain way's by this
    usual: float | None  # its 99th percentile: at most the plain way's longest by this
    time: float  # the whole job: at most so many times the plain way
    limit: float  # seconds; the job's timeout
    wal: bool  # whether the log is to stay within LARGEST_WAL


BARS = {
    JobId.GEO_CACHE_CLEANUP: Bars(longest=30, usual=200, time=15, limit=60, wal=True),
    JobId.SESSION_CLEANUP: Bars(longest=12, usual=60, time=15, limit=30, wal=True),
    JobId.GEO_CACHE_FLUSH: Bars(longest=4, usual=None, time=6, limit=60, wal=False),
}


@dataclass(frozen=True, slots=True)
class Inputs:
    """What all measurements start from."""

    template: Path
    now: int
    dirty: Sequence[DirtyEntry]


def run(scale: Scale, directory: Path) -> Iterator[Section]:
    """Measure each job both ways."""
    inputs = _inputs(scale, directory)
    alone = medians(_alone(inputs, directory) for _ in range(scale.runs))
    yield Section(
        "neighbour: the web app by itself, a commit every 5 ms",
        ("", "longest wait", "99th percentile", "median"),
        [["alone", *(milliseconds(alone[name]) for name in ("longest", "usual", "median"))]],
        figures=alone,
    )
    for job_id, bars in BARS.items():
        theirs, ours = [], []
        for _ in range(scale.runs):
            theirs.append(asyncio.run(_plainly(job_id, inputs, directory)))
            ours.append(asyncio.run(_by_bangeod(job_id, inputs, directory)))
        yield _section(job_id, None if scale.quick else bars, medians(theirs), medians(ours))


def _inputs(scale: Scale, directory: Path) -> Inputs:
    now = int(time.time())
    dirty = scale.of(DIRTY)
    ips = samples.addresses(scale.of(ROWS) + dirty // 2)
    known, fresh = ips[: scale.of(ROWS)], ips[scale.of(ROWS) :]
    template = directory / "template.db"
    databases.make(template, known, now, sessions=scale.of(SESSIONS), expired=EXPIRED)
    return Inputs(template, now, samples.dirty_entries(known[:: 2 * len(known) // dirty], fresh, now))


# --- one measurement --------------------------------------------------------------------------------------------


def _alone(inputs: Inputs, directory: Path) -> dict[str, float]:
    with _copy(inputs, directory) as path, WebApp(path, MEASURED) as app:
        began = time.monotonic()
        time.sleep(2.0)
        return seen_by(app, began, time.monotonic())


async def _plainly(job_id: JobId, inputs: Inputs, directory: Path) -> dict[str, float]:
    before = to_text(inputs.now - samples.RETENTION_DAYS * SECONDS_A_DAY)
    upserts = plain.upserts(inputs.dirty, inputs.now)
    with _copy(inputs, directory) as path:
        async with aiosqlite.Connection(lambda: engine.connect(path), 64) as connection:

            async def work() -> None:
                if job_id is JobId.GEO_CACHE_CLEANUP:
                    await connection.execute(plain.DELETE_STALE, (before,))
                elif job_id is JobId.SESSION_CLEANUP:
                    await connection.execute(plain.DELETE_EXPIRED, (to_text(inputs.now),))
                else:
                    await connection.executemany(plain.UPSERT, upserts)
                await connection.commit()

            return await beside_web_app(path, work)


async def _by_bangeod(job_id: JobId, inputs: Inputs, directory: Path) -> dict[str, float]:
    with _copy(inputs, directory) as path:
        async with running(settings(path)) as components:
            await load(components)
            if job_id is JobId.GEO_CACHE_FLUSH:
                components.cache.restore_dirty(inputs.dirty)

            measured = await beside_web_app(path, lambda: done(components, job_id))
        return measured | {"left": _left(job_id, path, inputs)}


def _left(job_id: JobId, path: Path, inputs: Inputs) -> int:
    """Count what the job should have done and has not."""
    left: int
    if job_id is JobId.GEO_CACHE_CLEANUP:
        left = databases.query(path, "SELECT count(*) FROM geo_cache WHERE last_seen < ?", (_stale_before(inputs),))
    elif job_id is JobId.SESSION_CLEANUP:
        left = databases.query(path, "SELECT count(*) FROM sessions WHERE expires_at < ?", (to_text(inputs.now - 60),))
    else:
        sought = json.dumps([entry.ip for entry in inputs.dirty])
        statement = "SELECT count(*) FROM geo_cache WHERE ip IN (SELECT value FROM json_each(?)) AND last_seen >= ?"
        left = len(inputs.dirty) - databases.query(path, statement, (sought, to_text(inputs.now)))
    return left


def _stale_before(inputs: Inputs) -> str:
    return to_text(inputs.now - samples.RETENTION_DAYS * SECONDS_A_DAY - 60)


# --- what stands around it --------------------------------------------------------------------------------------


@contextmanager
def _copy(inputs: Inputs, directory: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=directory) as own:
        yield databases.copy(inputs.template, Path(own, "bangui.db"))


# --- the table --------------------------------------------------------------------------------------------------


def _section(job_id: JobId, bars: Bars | None, theirs: Mapping[str, float], ours: Mapping[str, float]) -> Section:
    """Lay out one job; without bars where the sizes are not those that they are for."""
    longest, time_bar = theirs["longest"], theirs["time"]
    rows = [
        _row("longest wait", longest, ours["longest"], bars and longest / bars.longest),
        _row("99th percentile", longest, ours["usual"], bars and bars.usual and longest / bars.usual),
        [
            "largest WAL file",
            *(f"{wal:.1f} MiB" for wal in (theirs["wal"], ours["wal"])),
            f"{ours['wal'] / theirs['wal']:.3f} x",
            *(verdict(f"{LARGEST_WAL:.0f} MiB", reached=ours["wal"] <= LARGEST_WAL) if bars and bars.wal else ("", "")),
        ],
        _row("whole job", time_bar, ours["time"], bars and min(bars.time * time_bar, bars.limit), ours["left"]),
        _row("event loop, 99.9 % of its steps", None, ours["step"], bars and USUAL_STEP),
        _row("event loop, longest step", None, ours["longest_step"], bars and LONGEST_STEP),
    ]
    notes = [
        "the plain way's longest wait is what both of bangeod's are compared with",
        f"commits of the web app meanwhile: {theirs['commits']:.0f} plain, {ours['commits']:.0f} by bangeod",
        f"its median wait: {milliseconds(theirs['median'])} plain, {milliseconds(ours['median'])} by bangeod",
        f"rows that bangeod left for the next run, since its time was up: {ours['left']:.0f}",
        f"refused as locked: {theirs['errors']:.0f} plain, {ours['errors']:.0f} by bangeod",
    ]
    heads = ("", "plain", "bangeod", "ratio", "at most", "")
    return Section(f"neighbour: {job_id}", heads, rows, notes, {"plain": theirs, "bangeod": ours})


def _row(name: str, theirs: float | None, ours: float, bar: float | None, left: float = 0) -> list[str]:
    ratio = ""
    if theirs is not None:
        ratio = times(ours / theirs) if ours > theirs else f"1/{theirs / ours:.0f}"
    return [
        name,
        "" if theirs is None else milliseconds(theirs),
        milliseconds(ours),
        ratio,
        *(("", "") if bar is None else verdict(milliseconds(bar), reached=ours <= bar and not left)),
    ]
