"""Large batches: so many are worked on at a time, some more wait for their turn, and the rest is told to try again.

A batch of 10,000 addresses takes some three megabytes while it is worked on. All of them share one event loop, so
that none is answered sooner where many are worked on at once; the memory would grow for nothing.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from bangeod.api.problems import RequestError

SMALL: Final = 16 << 10  # bytes of body, some 800 addresses: what is not larger doesn't wait
AT_A_TIME: Final = 5
MOST_WAITING: Final = 8 << 20  # bytes of bodies
WAIT_SECONDS: Final = 30.0


class LargeBatches:
    """Those that are worked on, and those that wait. The event loop's."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(AT_A_TIME)
        self._waiting = 0  # bytes

    @asynccontextmanager
    async def turn(self, size: int) -> AsyncGenerator[None, None]:
        """Wait until a body of so many bytes may be worked on, in the block. Raises RequestError."""
        if size <= SMALL:
            yield
            return
        await self._wait(size)
        try:
            yield
        finally:
            self._turns.release()

    async def _wait(self, size: int) -> None:
        if self._waiting + size > MOST_WAITING:
            raise _busy()
        self._waiting += size
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise _busy() from None
        finally:
            self._waiting -= size


def _busy() -> RequestError:
    return RequestError(503, "busy", "too many large batches at once: try again")
