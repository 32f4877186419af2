"""Running a job once: id, timeout, report, and what is said of a failure."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import pytest
import structlog
from structlog.testing import capture_logs
from structlog.typing import EventDict

from bangeod.errors import (
    SchemaError,
    SourceError,
    StoreError,
    StoreFullError,
    StoreLockedError,
    StoreReadOnlyError,
    StoreRefusedError,
    StoreReplacedError,
)
from bangeod.jobs.job import JobId, Outcome, Result, Run
from bangeod.jobs.runner import Runner
from tests.support.manual_clock import ManualClock

LOCKED = StoreLockedError("/db", "locked", "wait")


class Body:
    """A job that does what it is told."""

    def __init__(
        self, work: Callable[[Run], Awaitable[Result]] | None = None, job_id: JobId = JobId.SESSION_CLEANUP
    ) -> None:
        self.id = job_id
        self.work = work
        self.error: BaseException | None = None

    async def run(self, run: Run) -> Result:
        structlog.get_logger("body").info("worked")
        if self.error is not None:
            raise self.error
        return await self.work(run) if self.work else Result({"deleted_count": 3})


async def nothing() -> None:
    pass


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def runner(clock: ManualClock) -> Runner:
    return Runner(clock, nothing)


def events(lines: list[EventDict], *events: str) -> list[tuple[str, str]]:
    return [(line["event"], line["log_level"]) for line in lines if line["event"] in events]


async def test_a_run_ends_in_a_report(clock: ManualClock, runner: Runner) -> None:
    async def work(_run: Run) -> Result:
        clock.advance(2.5)
        return Result({"deleted_count": 3})

    started = clock.now()
    report = await runner.run(Body(work), 30)
    assert (report.job_id, report.outcome, report.figures) == (
        JobId.SESSION_CLEANUP,
        Outcome.DONE,
        {"deleted_count": 3},
    )
    assert (report.started_at, report.duration, report.dry, report.problem) == (started, 2.5, False, None)
    assert report.succeeded


async def test_each_run_has_an_id_of_its_own_that_every_line_carries(runner: Runner) -> None:
    with capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        reports = [await runner.run(Body(), 30) for _ in range(2)]
    ids = [report.correlation_id for report in reports]
    assert [uuid.UUID(each).version for each in ids] == [4, 4]
    assert ids[0] != ids[1]
    assert [(line["job_id"], line["correlation_id"]) for line in lines] == [("session_cleanup", each) for each in ids]
    assert structlog.contextvars.get_contextvars() == {}


async def test_runs_at_the_same_time_do_not_mix_up_their_ids(runner: Runner) -> None:
    async def work(_run: Run) -> Result:
        await asyncio.sleep(0)
        structlog.get_logger("body").info("went_on")
        return Result()

    jobs = Body(work, JobId.SESSION_CLEANUP), Body(work, JobId.GEO_CACHE_FLUSH)
    with capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        reports = await asyncio.gather(*(runner.run(job, 30) for job in jobs))
    said = {(line["job_id"], line["correlation_id"]) for line in lines if line["event"] == "went_on"}
    assert said == {(str(report.job_id), report.correlation_id) for report in reports}


async def test_the_body_is_told_of_its_deadline_and_whether_it_is_dry(clock: ManualClock, runner: Runner) -> None:
    runs = []

    async def work(run: Run) -> Result:
        runs.append(run)
        return Result()

    report = await runner.run(Body(work), 30, dry=True)
    assert report.dry
    assert runs == [Run(clock, clock.monotonic() + 28, dry=True)]


async def test_the_database_is_made_sure_of_before_the_body(clock: ManualClock) -> None:
    async def ready() -> None:
        raise LOCKED

    with capture_logs() as lines:
        report = await Runner(clock, ready).run(Body(), 30)
    assert report.outcome is Outcome.FAILED
    assert events(lines, "worked", "job_failed") == [("job_failed", "error")]


async def test_a_job_that_did_not_finish_says_so(runner: Runner) -> None:
    async def work(_run: Run) -> Result:
        return Result({"flushed": 2}, finished=False)

    with capture_logs() as lines:
        report = await runner.run(Body(work), 30)
    assert (report.outcome, report.succeeded, report.problem) == (Outcome.UNFINISHED, False, None)
    assert report.figures == {"flushed": 2}
    assert events(lines, "job_unfinished") == [("job_unfinished", "info")]


async def test_a_run_that_came_no_further_than_the_last_is_said_at_debug(runner: Runner) -> None:
    ends = [
        Result({"deleted": 0, "skipped": "bans_unread"}, finished=False),
        Result({"deleted": 0, "skipped": "bans_unread"}, finished=False),
        Result({"deleted": 5}, finished=False),
        Result({"deleted": 5}),
        Result({"deleted": 5}, finished=False),
    ]

    async def work(_run: Run) -> Result:
        return ends.pop(0)

    with capture_logs() as lines:
        while ends:
            await runner.run(Body(work), 30)
    assert [level for _, level in events(lines, "job_unfinished")] == ["info", "debug", "info", "info"]


async def test_a_dry_run_that_does_not_finish_is_said_and_hides_no_other(runner: Runner) -> None:
    async def work(_run: Run) -> Result:
        return Result({"deleted": 0}, finished=False)

    with capture_logs() as lines:
        for dry in (True, False, True):
            await runner.run(Body(work), 30, dry=dry)
    assert [level for _, level in events(lines, "job_unfinished")] == ["info", "info", "info"]


async def test_a_job_that_overruns_is_cancelled(runner: Runner) -> None:
    cancelled = asyncio.Event()

    async def work(_run: Run) -> Result:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    with capture_logs() as lines:
        report = await runner.run(Body(work), 0.001)
    assert cancelled.is_set()
    assert (report.outcome, report.problem) == (Outcome.TIMED_OUT, "timed out after 0.001 s")
    (line,) = [line for line in lines if line["event"] == "job_timed_out"]
    assert (line["log_level"], line["timeout_seconds"]) == ("error", 0.001)
    assert isinstance(line["exc_info"], TimeoutError)


async def test_a_body_that_raises_timeout_error_has_failed_not_overrun(runner: Runner) -> None:
    body = Body()
    body.error = TimeoutError()
    report = await runner.run(body, 30)
    assert (report.outcome, report.problem) == (Outcome.FAILED, "TimeoutError")


async def test_a_failure_is_said_with_its_traceback_and_fields(runner: Runner) -> None:
    body = Body()
    body.error = LOCKED
    with capture_logs() as lines:
        report = await runner.run(body, 30)
    assert (report.outcome, report.problem) == (Outcome.FAILED, "/db: locked; wait")
    (line,) = [line for line in lines if line["event"] == "job_failed"]
    assert (line["log_level"], line["error"], line["database"]) == ("error", "/db: locked; wait", "/db")
    assert line["exc_info"] is LOCKED


async def test_a_bug_is_a_failure_like_any_other_and_the_next_run_starts_clean(runner: Runner) -> None:
    body = Body()
    body.error = ZeroDivisionError("oops")
    assert (await runner.run(body, 30)).problem == "oops"
    body.error = None
    assert (await runner.run(body, 30)).succeeded


@pytest.mark.parametrize("timed_out", [False, True])
async def test_a_failure_that_stays_the_same_is_said_once_and_then_quietly(runner: Runner, timed_out: bool) -> None:
    async def work(_run: Run) -> Result:
        if timed_out:
            await asyncio.Event().wait()
        raise LOCKED

    with capture_logs() as lines:
        for _ in range(3):
            await runner.run(Body(work), 0.001)
    levels = [level for _, level in events(lines, "job_failed", "job_timed_out")]
    assert levels == ["error", "debug", "debug"]


async def test_another_failure_is_said_again(runner: Runner) -> None:
    body = Body()
    with capture_logs() as lines:
        for error in (LOCKED, ZeroDivisionError("oops"), LOCKED):
            body.error = error
            await runner.run(body, 30)
    assert [level for _, level in events(lines, "job_failed")] == ["error"] * 3


async def test_what_one_job_said_is_not_said_for_another(runner: Runner) -> None:
    with capture_logs() as lines:
        for job_id in JobId:
            body = Body(job_id=job_id)
            body.error = LOCKED
            await runner.run(body, 30)
    assert [level for _, level in events(lines, "job_failed")] == ["error"] * 4


async def test_a_job_that_works_again_says_so_once(runner: Runner) -> None:
    body = Body()
    with capture_logs() as lines:
        for error in (LOCKED, None, None, LOCKED):
            body.error = error
            await runner.run(body, 30)
    assert events(lines, "job_failed", "job_recovered") == [
        ("job_failed", "error"),
        ("job_recovered", "info"),
        ("job_failed", "error"),
    ]


async def test_a_dry_run_proves_no_recovery(runner: Runner) -> None:
    body = Body()
    body.error = LOCKED
    await runner.run(body, 30)
    body.error = None
    with capture_logs() as lines:
        await runner.run(body, 30, dry=True)
    assert events(lines, "job_recovered") == []


async def test_a_cancellation_from_outside_passes_through(runner: Runner) -> None:
    async def work(_run: Run) -> Result:
        await asyncio.Event().wait()
        raise AssertionError

    running = asyncio.create_task(runner.run(Body(work), 30))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@pytest.mark.parametrize(
    ("error", "of_database"),
    [
        (LOCKED, True),
        (StoreFullError("/db", "the disk is full", "make room"), True),
        (StoreReadOnlyError("/db", "can't be written", "look"), True),
        (StoreError("/db", "reading or writing failed", "look"), True),
        (SchemaError("/db", "no such table: sessions", "start the web app"), False),
        (StoreRefusedError("/db", "the database refused a row", "look"), False),
        (StoreReplacedError("/db", "the file was replaced", "wait"), False),
        (SourceError("ip-api", "refused"), False),
        (LookupError("a bug"), False),
    ],
)
async def test_a_report_says_whether_the_database_is_to_blame(
    runner: Runner, error: Exception, *, of_database: bool
) -> None:
    body = Body()
    body.error = error
    report = await runner.run(body, 5)
    assert report.of_database is of_database
