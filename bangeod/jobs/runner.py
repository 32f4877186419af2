"""Running a job once: correlation id, timeout, log lines, report. A failing job never ends the daemon."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import structlog

from bangeod.clock import Clock
from bangeod.errors import BangeodError, JobDoneElsewhereError, JobElsewhereError
from bangeod.jobs.job import Job, JobId, Outcome, Report, Result, Run
from bangeod.trouble import Trouble

log = structlog.get_logger(__name__)


class _Attempt(NamedTuple):
    """How a run ended, what it did, and what was wrong."""

    outcome: Outcome
    result: Result = Result()
    problem: str | None = None
    condition: str | None = None
    of_database: bool = False


class Runner:
    """Runs jobs; remembers the last problem of each, to log it once and not with every run.

    ``ready`` is awaited before each body, within its timeout: it makes sure that the database can be used.
    """

    def __init__(self, clock: Clock, ready: Callable[[], Awaitable[object]]) -> None:
        self._clock = clock
        self._ready = ready
        self._failing: defaultdict[JobId, Trouble] = defaultdict(
            lambda: Trouble("job_failed", "job_recovered", level="error")
        )
        self._unfinished: dict[JobId, Mapping[str, object] | None] = {}  # figures of a last run that did not finish

    async def run(self, job: Job, timeout: float, *, dry: bool = False) -> Report:  # noqa: ASYNC109 - part of the report
        """Run the job once; raises nothing but a cancellation from outside.

        Except where it is left to another daemon: JobElsewhereError and JobDoneElsewhereError.
        """
        correlation_id = str(uuid.uuid4())
        started_at, began = self._clock.now(), self._clock.monotonic()
        with structlog.contextvars.bound_contextvars(job_id=str(job.id), correlation_id=correlation_id):
            attempt = await self._attempt(job, timeout, dry=dry)
            if not dry:  # a dry run does not prove that the job works
                self._tell_recovery(job.id, attempt.outcome)
                self._unfinished[job.id] = attempt.result.figures if attempt.outcome is Outcome.UNFINISHED else None
        return Report(
            job.id,
            correlation_id,
            started_at,
            self._clock.monotonic() - began,
            attempt.outcome,
            dry,
            attempt.result.figures,
            attempt.problem,
            attempt.condition,
            attempt.of_database,
        )

    async def _attempt(self, job: Job, timeout: float, *, dry: bool) -> _Attempt:  # noqa: ASYNC109 - as above
        limit = asyncio.timeout(timeout)
        run = Run.within(timeout, self._clock, dry=dry)
        try:
            async with limit:
                await self._ready()
                result = await job.run(run)
        except TimeoutError as error:
            if not limit.expired():
                return self._failed(job.id, error)
            problem = f"timed out after {timeout:g} s"
            self._failing[job.id].tell(problem, event="job_timed_out", exc_info=error, timeout_seconds=timeout)
            return _Attempt(Outcome.TIMED_OUT, problem=problem)
        except (JobElsewhereError, JobDoneElsewhereError):
            raise
        except Exception as error:  # noqa: BLE001 - after any error the next run starts clean
            return self._failed(job.id, error)
        if result.finished:
            return _Attempt(Outcome.DONE, result)
        # One that came to the same as the last one, as while something keeps it from its work, is no news.
        say = log.debug if self._unfinished.get(job.id) == result.figures and not dry else log.info
        say("job_unfinished", **result.figures)
        return _Attempt(Outcome.UNFINISHED, result)

    def _failed(self, job_id: JobId, error: Exception) -> _Attempt:
        problem = str(error) or type(error).__name__
        fields: dict[str, Any] = error.fields() if isinstance(error, BangeodError) else {}
        self._failing[job_id].tell(problem, exc_info=error, error=problem, **fields)
        attempt = _Attempt(Outcome.FAILED, problem=problem)
        if isinstance(error, BangeodError):
            return attempt._replace(condition=error.condition, of_database=error.of_database)
        return attempt

    def _tell_recovery(self, job_id: JobId, outcome: Outcome) -> None:
        if outcome in (Outcome.DONE, Outcome.UNFINISHED):
            self._failing[job_id].is_over()
