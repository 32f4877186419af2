"""What the runs of a job add up to since the daemon started."""

from dataclasses import dataclass
from typing import Final

from bangeod.jobs.job import Report

# The figures of reports by what they count; a job has one of each at most.
WRITTEN: Final = ("flushed", "resolved")
DELETED: Final = ("deleted", "deleted_count")
UNREADABLE: Final = ("unreadable", "invalid")


@dataclass(slots=True)
class Totals:
    """The sums of one job."""

    runs: int = 0
    failures: int = 0
    seconds: float = 0.0
    written: int = 0  # rows
    deleted: int = 0  # rows
    last_success: float | None = None  # seconds since the epoch
    unreadable: int | None = None  # rows; of the last run that said

    def add(self, report: Report) -> None:
        """Count a run in."""
        self.runs += 1
        self.failures += report.problem is not None
        if report.succeeded:
            self.last_success = report.started_at
        self.seconds += report.duration
        self.written += sum(_number(report, name) for name in WRITTEN)
        self.deleted += sum(_number(report, name) for name in DELETED)
        if any(name in report.figures for name in UNREADABLE):
            self.unreadable = sum(_number(report, name) for name in UNREADABLE)


def _number(report: Report, name: str) -> int:
    value = report.figures.get(name, 0)
    return value if isinstance(value, int) else 0
