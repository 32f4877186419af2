"""Admission of large batches: a few are worked on at a time, some more wait, and the rest is told to try again.

A batch of 10,000 addresses takes some three megabytes while it is worked on. All batches share one event loop: working
on many at once makes none of them faster, but needs more memory. Batches that ask only memory wait separately, so that
they don't wait for the sources of others.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from bangeod.api.connections import Connection
from bangeod.api.messages import Mode
from bangeod.api.problems import RequestError

SMALL: Final = 16 << 10  # bytes of body, some 800 addresses: a body up to this size does not wait
AT_A_TIME: Final = {Mode.RESOLVE: 5, Mode.CACHED: 2}
MOST_WAITING: Final = 8 << 20  # bytes of bodies, for each mode
WAIT_SECONDS: Final = 30.0


class _HowFar(msgspec.Struct):
    """The mode of a batch, read before its turn; its addresses are skipped."""

    mode: Mode = Mode.RESOLVE


class BatchAdmission:
    """The batches that are worked on and those that wait, by mode. Used on the event loop only."""

    def __init__(self) -> None:
        self._modes = {mode: _Admissions(most) for mode, most in AT_A_TIME.items()}

    @asynccontextmanager
    async def turn(self, content: bytes, connection: Connection, until: float) -> AsyncGenerator[None, None]:
        """Wait until a body may be worked on, until ``until`` (the loop's time) at most; hold its turn for the block.

        Raises RequestError, and ConnectionError if the sender has gone meanwhile.
        """
        if len(content) <= SMALL:
            yield
            return
        turns = self._modes[msgspec.json.decode(content, type=_HowFar).mode]
        await turns.wait(len(content), min(WAIT_SECONDS, until - asyncio.get_running_loop().time()))
        try:
            connection.check_connected()
            yield
        finally:
            turns.release()


class _Admissions:
    """The turns of one mode."""

    def __init__(self, most: int) -> None:
        self._free = asyncio.Semaphore(most)
        self._waiting = 0  # bytes
        self.release = self._free.release

    async def wait(self, size: int, seconds: float) -> None:
        """Wait for a turn for a body of ``size`` bytes. Raises RequestError."""
        if self._waiting + size > MOST_WAITING:
            raise _busy()
        self._waiting += size
        try:
            async with asyncio.timeout(seconds):
                await self._free.acquire()
        except TimeoutError:
            raise _busy() from None
        finally:
            self._waiting -= size


def _busy() -> RequestError:
    return RequestError(503, "busy", "too many large batches at once: try again")
