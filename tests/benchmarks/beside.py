"""Measuring what a web app in another process notices of something that goes on here."""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.benchmarks.steps import StepMonitor, share
from tests.support.web_app.habits import Habits
from tests.support.web_app.web_app import WebApp

ALONE = 0.5  # seconds that the web app writes undisturbed before
STEP_SHARE = 0.999
MIB = 1 << 20
MEASURED = Habits(sessions=True, measured=True)


async def beside_web_app(path: Path, work: Callable[[], Awaitable[object]]) -> dict[str, float]:
    """Do work beside a writing web app; return what both saw.

    ``longest``, ``usual`` (the 99th percentile) and ``median`` are the web app's waits, ``time`` the work's, ``step``
    (the 99.9th percentile) and ``longest_step`` the event loop's, in seconds; ``wal`` is in MiB.
    """
    gc.collect()
    with WebApp(path, MEASURED) as app:
        await asyncio.sleep(ALONE)
        with StepMonitor() as steps:
            began = time.monotonic()
            await work()
            ended = time.monotonic()
            await asyncio.sleep(0)  # ends the last step
        seen = seen_by(app, began, ended)
        return seen | {"step": steps.share(STEP_SHARE), "longest_step": max(steps.durations)}


def seen_by(app: WebApp, began: float, ended: float) -> dict[str, float]:
    """End the web app; return what it saw of the time between the two (monotonic)."""
    report = app.finish()
    waits = sorted(each.ended - each.began for each in report.commits if each.ended > began and each.began < ended)
    return {
        "longest": waits[-1],
        "usual": share(waits, 0.99),
        "median": share(waits, 0.5),
        "commits": len(waits),
        "errors": sum(each.refused for each in report.commits),
        "wal": report.largest_wal / MIB,
        "time": ended - began,
    }
