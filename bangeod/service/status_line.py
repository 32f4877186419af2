"""The one line that `systemctl status` shows."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from bangeod.jobs.job import JobId, Report


class Facts(NamedTuple):
    """What the line is made of."""

    jobs: int
    cached: int
    dirty: int
    reports: Mapping[JobId, Report]  # the last of each job
    failing_since: Mapping[JobId, float]  # seconds since the epoch
    last_flush: float | None = None  # seconds since the epoch; of the last that succeeded
    refused_config: bool = False
    database: str | None = None  # what is wrong with it, where no job has met that yet
    api: str | None = None  # why the socket is not open although it should be
    disabled: Collection[JobId] = ()  # jobs that are not on the schedule: how one of them went is old news


def line(facts: Facts, now: float) -> str:
    """Write the line: how things are, and what is wrong first, where something is."""
    parts = [f"{facts.jobs} jobs", f"{facts.cached:,} cached", f"{facts.dirty:,} to write"]
    if facts.last_flush is not None:
        parts.append(f"last flush {ago(now - facts.last_flush)} ago")
    wrong = _failures(facts)
    if facts.database is not None and not wrong:
        wrong.append(f"the database can't be used: {_one_line(facts.database)}")
    if facts.api is not None:
        wrong.append(f"the API is not open: {_one_line(facts.api)}")
    if facts.refused_config:
        wrong.insert(0, "the changed config was refused, the old one is in force")
    return "; ".join([*wrong, ", ".join(parts)])


def ago(seconds: float) -> str:
    """Give a span of time the unit that a person would use."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _failures(facts: Facts) -> list[str]:
    """Say what keeps jobs from their work, each problem once."""
    jobs: dict[tuple[str | None, str], list[JobId]] = {}
    for job_id in sorted(facts.failing_since):
        report = facts.reports[job_id]
        problem = "" if report.condition else _one_line(report.problem or "")
        jobs.setdefault((report.condition, problem), []).append(job_id)
    return [_failure(failing, facts, *problem) for problem, failing in jobs.items()]


def _failure(failing: Sequence[JobId], facts: Facts, condition: str | None, problem: str) -> str:
    since = _date(min(facts.failing_since[job_id] for job_id in failing))
    if condition is not None:
        return f"{condition} since {since} ({', '.join(failing)})"
    return f"{', '.join(failing)} {'fails' if len(failing) == 1 else 'fail'} since {since}: {problem}"


def _date(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _one_line(text: str) -> str:
    return " ".join(text.split())
