"""Background tasks beside the jobs: endless ones, which start again after a failure, and ones that run once."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final

import structlog

from bangeod.clock import SECONDS_A_DAY, Clock

log = structlog.get_logger(__name__)

AGAIN_AFTER: Final = 5.0  # seconds from a failure to the next start: well within the watchdog's time
SAID_EVERY: Final = SECONDS_A_DAY  # seconds until a failure that stays the same is logged again

Work = Callable[[], Awaitable[None]]


class Background:
    """Tasks that survive failures. Used on the event loop only; ``sleep`` takes seconds."""

    def __init__(self, clock: Clock, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._clock = clock
        self._sleep = sleep
        self._tasks: set[asyncio.Task[None]] = set()
        self._said: dict[tuple[str, str], float] = {}  # when a failure was logged last, in seconds that never step

    def keep_running(self, work: Work) -> None:
        """Run work that never ends; after a failure it starts again, after a pause."""
        self._start(work, self._for_ever(work))

    def run_once(self, work: Work) -> None:
        """Run work that ends by itself; after a failure it is not tried again."""
        self._start(work, self._attempt(work))

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _start(self, work: Work, body: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(body, name=work.__name__)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _for_ever(self, work: Work) -> None:
        while True:
            await self._attempt(work)
            await self._sleep(AGAIN_AFTER)

    async def _attempt(self, work: Work) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - after any error the rest goes on
            self._tell(work.__name__, error)

    def _tell(self, work: str, error: Exception) -> None:
        """Log a failure with its traceback; while it stays the same, briefly, and again in full after SAID_EVERY."""
        now, failure = self._clock.monotonic(), (work, repr(error))
        due = now - self._said.get(failure, -math.inf) >= SAID_EVERY
        if due:
            self._said = {known: at for known, at in self._said.items() if now - at < SAID_EVERY}
            self._said[failure] = now
        (log.error if due else log.debug)("background_work_failed", work=work, exc_info=error)
