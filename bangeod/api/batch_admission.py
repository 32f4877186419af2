"""Large batches: so many are worked on at a time, some more wait for their turn, and the rest is told to try again.

A batch of 10,000 addresses takes some three megabytes while it is worked on. All of them share one event loop, so
that none is answered sooner where many are worked on at once; the memory would grow for nothing. What only memory is
asked about has turns of its own: it does not wait for the sources of others.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from bangeod.api.connections import Connection
from bangeod.api.messages import Mode
from bangeod.api.problems import RequestError

SMALL: Final = 16 << 10  # bytes of body, some 800 addresses: what is not larger doesn't wait
AT_A_TIME: Final = {Mode.RESOLVE: 5, Mode.CACHED: 2}
MOST_WAITING: Final = 8 << 20  # bytes of bodies, in each mode
WAIT_SECONDS: Final = 30.0


class _HowFar(msgspec.Struct):
    """What has to be known of a batch before its turn; the addresses are skipped."""

    mode: Mode = Mode.RESOLVE


class BatchAdmission:
    """Those that are worked on, and those that wait. The event loop's."""

    def __init__(self) -> None:
        self._modes = {mode: _Admissions(most) for mode, most in AT_A_TIME.items()}

    @asynccontextmanager
    async def turn(self, content: bytes, connection: Connection, until: float) -> AsyncGenerator[None, None]:
        """Wait until a body may be worked on, in the block; until the loop's time ``until`` at most.

        Raises RequestError, and ConnectionError where its sender has gone meanwhile.
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
        """Take a turn for a body of so many bytes. Raises RequestError."""
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
