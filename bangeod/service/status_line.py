"""The line that `systemctl status` shows: the state in words, or what the daemon is about at start, stop and crash."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from bangeod.api.daemon_state import Failure, Standing
from bangeod.api.state_words import CONFIG_REFUSED, ago, failing, unusable_database
from bangeod.jobs.job import JobId

STARTING: Final = "starting: reading the database"
STOPPING: Final = "stopping: writing what is left"
FAILED: Final = "failed: {}"


def line(standing: Standing) -> str:
    """Write the line: the state, with what is wrong first."""
    read = "" if standing.progress is None else f" ({100 * standing.progress:.0f} % of the table read)"
    parts = [f"{standing.planned} jobs", f"{standing.cached:,} cached{read}", f"{standing.dirty:,} to write"]
    if standing.last_flush is not None:
        parts.append(f"last flush {ago(standing.now - standing.last_flush)} ago")
    wrong = _failures(standing.failures)
    if standing.database is not None and not wrong:
        wrong.append(unusable_database(_one_line(standing.database)))
    if standing.api is not None:
        wrong.append(f"the API is not open: {_one_line(standing.api)}")
    if standing.config_refused:
        wrong.insert(0, CONFIG_REFUSED)
    return "; ".join([*wrong, ", ".join(parts)])


def _failures(failures: Mapping[JobId, Failure]) -> list[str]:
    """Say what keeps jobs from their work, each problem once."""
    alike: dict[tuple[str | None, str], dict[JobId, float]] = {}
    for job_id, failure in failures.items():
        problem = "" if failure.condition else _one_line(failure.problem)
        alike.setdefault((failure.condition, problem), {})[job_id] = failure.since
    return [_failure(since, *problem) for problem, since in alike.items()]


def _failure(since: Mapping[JobId, float], condition: str | None, problem: str) -> str:
    jobs, first = list(since), _date(min(since.values()))
    return failing(jobs, first, problem) if condition is None else f"{condition} since {first} ({', '.join(jobs)})"


def _date(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _one_line(text: str) -> str:
    return " ".join(text.split())
