"""Phrases about the state that several views share: health, the status line and the screen."""

from collections.abc import Sequence
from typing import Final

from bangeod.api.daemon_state import Standing

CONFIG_REFUSED: Final = "the changed config was refused, the old one is in force"


def current_problem(standing: Standing) -> str | None:
    """Return what keeps the daemon from its work: a database that can't be used, or that was not read yet.

    A database that can be read may still not be writable: so failures of jobs count as well, until the jobs succeed.
    """
    met_by_jobs = (failure.problem for failure in standing.failures.values() if failure.of_database and failure.planned)
    problem = standing.database or next(met_by_jobs, None)
    return None if problem is None else unusable_database(problem)


def unusable_database(problem: str) -> str:
    return f"the database can't be used: {problem}"


def failing(jobs: Sequence[str], since: str, problem: str) -> str:
    """Say which jobs fail on a problem; ``since`` is a time in the format of the view."""
    return f"{', '.join(jobs)} {'fails' if len(jobs) == 1 else 'fail'} since {since}: {problem}"


def ago(seconds: float) -> str:
    """Write a time span in the unit that a person would use."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
