"""How often jobs ran, as the daemon's status has it, and how often they should have: judged by counts.

The flush runs far more often than the others, so it is their clock: a machine that stands still takes runs from all.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from bangeod.client import GeoClient
from bangeod.jobs.job import JobId
from bangeod.jobs.registry import DECLARATIONS
from bangeod.service.schedule import timing

CLOCK: Final = JobId.GEO_CACHE_FLUSH
ON_TIME: Final = 0.6  # of its runs there are at least so many: 0.9 are usual, and a machine may have other work
IN_STEP: Final = 0.9  # of the runs that the others should have had in that many runs of the clock
EDGE: Final = 1  # run more or less, by where a span begins and ends in the interval
UNDER_WAY: Final = 1  # run that began before the span, and ended in it
MADE_UP: Final = (
    timing.SOON + len(JobId) * timing.SPREAD
)  # seconds after a start at which what was due has been made up for

Intervals = Mapping[str, float]  # seconds, by the id of the job


class Reading(NamedTuple):
    """What the status says; ``asked`` and ``answered`` are monotonic, and it holds for a moment between them."""

    asked: float
    answered: float
    runs: Mapping[str, int]
    entries: int
    dirty: int


class Span(NamedTuple):
    """The runs in a span of time, which lasted ``least`` seconds and at most ``most``."""

    least: float
    most: float
    runs: Mapping[str, int]


def read(client: GeoClient) -> Reading:
    """Ask the daemon; none of its jobs may have failed."""
    asked = time.monotonic()
    status = client.status()
    answered = time.monotonic()
    assert [job for job in status["jobs"] if job["failures"]] == []
    runs = {job["id"]: job["runs"] for job in status["jobs"]}
    return Reading(asked, answered, runs, status["cache"]["entries"], status["cache"]["dirty"])


def at_start(launched: float) -> Reading:
    """Return what the status of a daemon would say that was launched then, and has become ready just now."""
    return Reading(launched, time.monotonic(), dict.fromkeys(map(str, JobId), 0), 0, 0)


def between(before: Reading, after: Reading) -> Span:
    """Return the span between two readings of one daemon."""
    runs = {job_id: after.runs[job_id] - before.runs[job_id] for job_id in after.runs}
    return Span(after.asked - before.answered, after.answered - before.asked, runs)


def check(span: Span, intervals: Intervals) -> None:
    """See that each job ran as often as it should have while one daemon lived."""
    had = span.runs[CLOCK] * intervals[CLOCK]  # seconds that the process really had
    for job_id, runs in span.runs.items():
        interval = intervals[job_id]
        assert runs <= span.most / interval + EDGE + UNDER_WAY, (job_id, span)
        due = ON_TIME * span.least if job_id == CLOCK else IN_STEP * had
        assert runs >= due / interval - EDGE, (job_id, span)


def check_lives(lives: Iterable[Span], lasted: float, intervals: Intervals) -> None:
    """See the same of all lives together, ``lasted`` seconds with the pauses between them.

    What is known of a job's last success keeps its interval over a restart, so it is neither run again for that nor
    put off by more than it takes to make up for it. A kill may come before its success is noted.
    """
    spans = list(lives)
    had = sum(span.runs[CLOCK] for span in spans) * intervals[CLOCK]
    for job_id in (job_id for job_id in intervals if DECLARATIONS[JobId(job_id)].keeps_record):
        interval, runs = intervals[job_id], sum(span.runs[job_id] for span in spans)
        put_off = (len(spans) - 1) * min(interval, MADE_UP)
        assert runs <= lasted / interval + len(spans) + UNDER_WAY, (job_id, spans)
        assert runs >= (IN_STEP * had - put_off) / interval - EDGE, (job_id, spans)
