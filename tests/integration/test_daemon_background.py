"""What the daemon does beside its jobs, where it meets what nobody foresaw: it goes on, and systemd hears how it is."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from bangeod.config import load
from bangeod.service.background import AGAIN_AFTER, Background
from bangeod.service.daemon import Daemon
from tests.fakes import RemoteTable
from tests.faults.life import Life
from tests.feed import DEADLINE
from tests.installation import Installation
from tests.manual_clock import ManualClock

DAY = 86_400.0


@asynccontextmanager
async def running(place: Installation, clock: ManualClock) -> AsyncIterator[tuple[Life, Daemon]]:
    life = await Life.begin(load(place.config, os.environ), clock, RemoteTable(clock))
    daemon = life._daemon
    try:
        yield life, daemon
    finally:
        await life.end()


async def test_the_clocks_are_watched_again_after_a_failure(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    async with running(place, clock) as (life, daemon):
        steps: list[float] = []
        seen = asyncio.Event()

        def clock_stepped(step: float, first: str | None = None) -> None:
            steps.append(step)
            if len(steps) == 1:
                raise LookupError("a bug")
            seen.set()

        async def sleep(seconds: float) -> None:
            assert seconds == AGAIN_AFTER
            clock.step(-2 * DAY)

        monkeypatch.setattr(life.schedule, "clock_stepped", clock_stepped)
        daemon._background = Background(clock, sleep=sleep)
        clock.step(-DAY)
        with capture_logs() as lines:
            await daemon._announce()
            async with asyncio.timeout(DEADLINE):
                await seen.wait()
        assert steps == [-DAY, -2 * DAY]
        assert [line["work"] for line in lines if line["event"] == "background_work_failed"] == ["_watch_clock"]
