"""The sums over the runs of a job since the daemon started."""

from collections.abc import Iterable
from dataclasses import dataclass

from bangeod.jobs.job import Counts, Report


@dataclass(slots=True)
class Totals:
    """The sums of one job; ``counts`` says which figures of its reports count."""

    counts: Counts
    runs: int = 0
    failures: int = 0
    seconds: float = 0.0
    written: int = 0  # rows
    deleted: int = 0  # rows
    last_success: float | None = None  # seconds since the epoch
    unreadable: int | None = None  # rows; of the last run that reported it

    def add(self, report: Report) -> None:
        self.runs += 1
        self.failures += report.problem is not None
        if report.succeeded:
            self.last_success = report.started_at
        self.seconds += report.duration
        self.written += _sum(report, self.counts.written)
        self.deleted += _sum(report, self.counts.deleted)
        if any(name in report.figures for name in self.counts.unreadable):
            self.unreadable = _sum(report, self.counts.unreadable)


def _sum(report: Report, names: Iterable[str]) -> int:
    values = (report.figures.get(name) for name in names)
    return sum(value for value in values if isinstance(value, int))
