"""More time is asked for while a long start or stop goes on, and neither after it nor for ever."""

import asyncio

import pytest

from bangeod.service import systemd
from bangeod.service.systemd import Notifier, with_more_time
from tests.support.manual_clock import ManualClock

EVERY = 0.001  # seconds


class Requests(Notifier):
    """Keeps what is asked for, and wakes whoever waits for it."""

    def __init__(self) -> None:
        super().__init__(None, ManualClock())
        self.seconds: list[float] = []
        self.came = asyncio.Event()

    def extend_timeout(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self.came.set()

    async def wait(self, count: int) -> None:
        while len(self.seconds) < count:
            self.came.clear()
            await self.came.wait()


async def test_it_is_asked_for_again_and_again_while_the_work_goes_on() -> None:
    requests = Requests()
    await with_more_time(requests, lambda: requests.wait(3), every=EVERY)
    assert requests.seconds == [2 * EVERY] * 3


async def test_nothing_is_asked_for_when_the_work_has_failed() -> None:
    requests = Requests()

    async def fail() -> None:
        await requests.wait(1)
        raise LookupError

    with pytest.raises(LookupError):
        await with_more_time(requests, fail, every=EVERY)
    await asyncio.sleep(0)
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_work_that_hangs_is_left_to_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "MOST_TIME", 2 * EVERY)
    requests = Requests()

    async def until_nobody_asks() -> None:
        asking = next(task for task in asyncio.all_tasks() if task.get_name() == "ask_for_time")
        await asyncio.wait({asking})

    await with_more_time(requests, until_nobody_asks, every=EVERY)
    assert len(requests.seconds) == 2
