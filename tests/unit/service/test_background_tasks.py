"""What goes on beside the jobs outlives its failures, and does not fill the journal with them."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.testing import capture_logs

from bangeod.service.background_tasks import AGAIN_AFTER, SAID_EVERY, Background
from tests.support.manual_clock import ManualClock


class Pauses:
    """In the place of ``asyncio.sleep``: time goes on by as much, and after so many pauses the rest never ends."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.left = 0
        self.seconds: list[float] = []
        self.over = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        if len(self.seconds) > self.left:
            self.over.set()
            await asyncio.Event().wait()
        self._clock.advance(seconds)


class Failing:
    """Work that fails each time that it is begun."""

    __name__ = "failing"

    def __init__(self, error: Callable[[int], Exception]) -> None:
        self._error = error
        self.begun = 0

    async def __call__(self) -> None:
        self.begun += 1
        raise self._error(self.begun)


class World:
    def __init__(self) -> None:
        clock = ManualClock()
        self.pauses = Pauses(clock)
        self.background = Background(clock, sleep=self.pauses)

    async def fail(self, work: Failing, *, times: int) -> list[str]:
        """Let work fail so often; return the levels at which that was logged."""
        self.pauses.left = times - 1
        with capture_logs() as lines:
            self.background.keep_running(work)
            await self.pauses.over.wait()
        assert {(line["event"], line["work"]) for line in lines} == {("background_work_failed", "failing")}
        return [line["log_level"] for line in lines]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    world.background.cancel()


async def test_work_that_failed_begins_anew_after_a_pause(world: World) -> None:
    work = Failing(lambda _: LookupError("a bug"))
    await world.fail(work, times=3)
    assert work.begun == 3
    assert world.pauses.seconds == [AGAIN_AFTER] * 3


async def test_a_failure_that_stays_is_said_once_in_a_while(world: World) -> None:
    a_while = round(SAID_EVERY / AGAIN_AFTER)
    levels = await world.fail(Failing(lambda _: LookupError("a bug")), times=2 * a_while)
    assert [number for number, level in enumerate(levels) if level == "error"] == [0, a_while]


async def test_each_failure_is_said(world: World) -> None:
    levels = await world.fail(Failing(lambda count: LookupError(f"bug {count % 2}")), times=4)
    assert levels == ["error", "error", "debug", "debug"]


async def test_work_that_is_done_once_is_not_begun_anew(world: World) -> None:
    work = Failing(lambda _: LookupError("a bug"))
    with capture_logs() as lines:
        world.background.run_once(work)
        for _ in range(3):
            await asyncio.sleep(0)
    assert (work.begun, world.pauses.seconds) == (1, [])
    assert [line["log_level"] for line in lines] == ["error"]


async def test_what_was_cancelled_stays_so(world: World) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        await asyncio.Event().wait()

    world.background.keep_running(work)
    await begun.wait()
    world.background.cancel()
    task = next(task for task in asyncio.all_tasks() if task.get_name() == "work")
    await asyncio.wait({task})
    assert task.cancelled()
    assert world.pauses.seconds == []
