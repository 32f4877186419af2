"""A job in turn: run while no other daemon runs it, and passed over where another has done it."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from bangeod.errors import JobDoneElsewhereError, JobElsewhereError, JobRunningError
from bangeod.jobs.job import JobId, Result, Run
from bangeod.jobs.memory_turns import MemoryTurns
from bangeod.jobs.turns import JobInTurn
from tests.support.manual_clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Body:
    """A job that counts its runs, and does in each what it is told."""

    id = JobId.SESSION_CLEANUP

    def __init__(self) -> None:
        self.runs = 0
        self.work: Callable[[Run], Awaitable[Result]] | None = None

    async def run(self, run: Run) -> Result:
        self.runs += 1
        return await self.work(run) if self.work else Result({"deleted_count": 1})


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def turns(clock: ManualClock) -> MemoryTurns:
    return MemoryTurns(clock)


@pytest.fixture
def body() -> Body:
    return Body()


def run_of(clock: ManualClock) -> Run:
    return Run(clock, clock.monotonic() + 60)


def within_a_minute(ago: float) -> bool:
    return ago < 60


async def test_it_is_run_and_its_success_noted_from_its_beginning(
    clock: ManualClock, turns: MemoryTurns, body: Body
) -> None:
    async def work(_run: Run) -> Result:
        clock.advance(5)
        return Result()

    body.work = work
    await JobInTurn(body, turns, within_a_minute).run(run_of(clock))
    assert turns.since_success(body.id) == 5


async def test_it_is_left_to_a_daemon_that_runs_it(clock: ManualClock, turns: MemoryTurns, body: Body) -> None:
    job = JobInTurn(body, turns, within_a_minute)
    async with turns.take(body.id):
        with pytest.raises(JobElsewhereError, match="session_cleanup is running now on another daemon") as error:
            await job.run(run_of(clock))
    assert isinstance(error.value, JobRunningError)
    assert body.runs == 0
    await job.run(run_of(clock))
    assert body.runs == 1


async def test_it_is_passed_over_where_it_was_done_lately(clock: ManualClock, turns: MemoryTurns, body: Body) -> None:
    job = JobInTurn(body, turns, within_a_minute)
    turns.succeeded(body.id, 20)
    with pytest.raises(JobDoneElsewhereError) as error:
        await job.run(run_of(clock))
    assert (error.value.ago, body.runs) == (20, 0)
    clock.advance(40)
    await job.run(run_of(clock))
    assert body.runs == 1


async def test_what_is_not_finished_is_no_success(clock: ManualClock, turns: MemoryTurns, body: Body) -> None:
    async def work(_run: Run) -> Result:
        return Result(finished=False)

    body.work = work
    await JobInTurn(body, turns, within_a_minute).run(run_of(clock))
    assert turns.since_success(body.id) is None


async def test_others_may_run_it_while_this_one_asks_over_the_network(
    clock: ManualClock, turns: MemoryTurns, body: Body
) -> None:
    asking, answered = asyncio.Event(), asyncio.Event()

    async def work(run: Run) -> Result:
        await run.before_network()
        asking.set()
        await answered.wait()
        return Result()

    body.work = work
    running = asyncio.ensure_future(JobInTurn(body, turns, within_a_minute).run(run_of(clock)))
    await asking.wait()
    async with turns.take(body.id) as turn:
        assert turn is not None
        answered.set()
        await running
        async with turns.take(body.id) as another:
            assert another is None
    assert turns.since_success(body.id) == 0
