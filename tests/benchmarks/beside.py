"""Measuring what a web app in another process notices of something that goes on here."""

import asyncio
import gc
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.steps import StepMonitor, share

ALONE = 0.5  # seconds that the web app writes undisturbed before
STEP_SHARE = 0.999
MIB = 1 << 20


async def beside_web_app(path: Path, work: Callable[[], Awaitable[object]]) -> dict[str, float]:
    """Do work beside a writing web app; return what both saw.

    ``longest``, ``usual`` (the 99th percentile) and ``median`` are the web app's waits, ``time`` the work's, ``step``
    (the 99.9th percentile) and ``longest_step`` the event loop's, in seconds; ``wal`` is in MiB.
    """
    gc.collect()
    with web_app(path) as app:
        await asyncio.sleep(ALONE)
        with StepMonitor() as steps:
            began = time.monotonic()
            await work()
            ended = time.monotonic()
            await asyncio.sleep(0)  # ends the last step
        seen = app.finish(began, ended)
        return seen | {"step": steps.share(STEP_SHARE), "longest_step": max(steps.durations)}


class WebApp:
    """The process that plays the web app."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def finish(self, began: float, ended: float) -> dict[str, float]:
        """End it; return what it saw of the time between the two (monotonic)."""
        output, _ = self._process.communicate(timeout=60)
        seen = json.loads(output.splitlines()[-1])
        waits = sorted(end - start for start, end in seen["commits"] if end > began and start < ended)
        return {
            "longest": waits[-1],
            "usual": share(waits, 0.99),
            "median": share(waits, 0.5),
            "commits": len(waits),
            "errors": seen["errors"],
            "wal": seen["largest_wal"] / MIB,
            "time": ended - began,
        }


@contextmanager
def web_app(path: Path) -> Iterator[WebApp]:
    """Have a web app write to the database (webapp.py)."""
    command = [sys.executable, "-m", "tests.benchmarks.webapp", str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            if process.stdout is None or not process.stdout.readline():
                raise RuntimeError("the web app did not begin")
            yield WebApp(process)
        finally:
            if process.poll() is None:
                process.kill()
