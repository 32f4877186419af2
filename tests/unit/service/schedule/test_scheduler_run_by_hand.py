"""A job that somebody asks for runs beside its plan: never twice at a time, and not while the daemon ends."""

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from bangeod.errors import JobRunningError, StoppingError
from bangeod.service.loop import LoopThread
from bangeod.service.schedule.scheduler import JobScheduler
from tests.support.daemon.scheduler_thread import LONG, running


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    with LoopThread() as loop:
        yield loop


async def seven() -> int:
    return 7


def by_hand(loop: LoopThread, scheduler: JobScheduler) -> int:
    async def ask() -> int:
        return await scheduler.run_by_hand("job", seven)

    return loop.submit(ask()).result(LONG)


def test_its_result_is_the_answer_also_of_a_job_that_is_not_planned(loop: LoopThread) -> None:
    scheduler = JobScheduler(loop)
    assert by_hand(loop, scheduler) == 7
    assert by_hand(loop, scheduler) == 7


def test_a_job_that_runs_is_not_run_again(loop: LoopThread) -> None:
    scheduler = JobScheduler(loop)

    async def ask_twice() -> set[str]:
        hold = asyncio.Event()

        async def held() -> None:
            await hold.wait()

        first = scheduler.run_by_hand("job", held)
        await scheduler.run_by_hand("other", seven)
        with pytest.raises(JobRunningError, match="job is running now"):
            scheduler.run_by_hand("job", seven)
        seen = set(scheduler.running)
        hold.set()
        await first
        return seen

    assert loop.submit(ask_twice()).result(LONG) == {"job"}
    assert not scheduler.running


def test_a_planned_run_that_falls_due_meanwhile_starts_when_it_has_ended(loop: LoopThread) -> None:
    scheduler = JobScheduler(loop)
    ran = threading.Event()
    began, hold = threading.Event(), asyncio.Event()

    async def planned() -> None:
        ran.set()

    async def held() -> None:
        began.set()
        await hold.wait()

    async def ask() -> None:
        scheduler.run_by_hand("job", held)

    with running(scheduler):
        loop.submit(ask()).result(LONG)
        assert began.wait(LONG)
        scheduler.plan("job", planned, interval=3600, first_run=time.time())
        while (due := scheduler.next_run("job")) is None or due < time.time():  # until APScheduler has handed it over
            pass
        assert not ran.is_set()
        loop.call_soon(hold.set)
        assert ran.wait(LONG)


def test_none_begins_once_the_daemon_ends(loop: LoopThread) -> None:
    scheduler = JobScheduler(loop)
    scheduler.shutdown()
    with pytest.raises(StoppingError):
        by_hand(loop, scheduler)


def test_the_end_of_the_daemon_waits_for_it_and_then_cuts_it_short(loop: LoopThread) -> None:
    scheduler = JobScheduler(loop)

    async def end() -> tuple[tuple[str, ...], bool]:
        task = scheduler.run_by_hand("job", asyncio.Event().wait)
        scheduler.shutdown()
        return await scheduler.drain(0.01), task.cancelled()

    assert loop.submit(end()).result(LONG) == (("job",), True)
