"""Answers to what has to be counted: one count at a time, and one for all who ask the same meanwhile.

A count walks all of memory in small steps, or reads fail2ban's database. Many at once would make lookups wait for as
many steps, and fail2ban for as many readers.
"""

import asyncio
from typing import Final

from bangeod.api.backend import Backend
from bangeod.api.connections import Connection
from bangeod.api.messages import Top, TopQuery
from bangeod.api.problems import RequestError

MOST_WAITING: Final = 100  # requests
WAIT_SECONDS: Final = 30.0  # for a turn


class Counting:
    """The counts for the clients of a backend. Used on the event loop only."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._turn = asyncio.Lock()
        self._waiting = 0  # for a turn, or for the end of the own count
        self._begun = 0  # counts, so far
        self._last: tuple[int, TopQuery, Top] | None = None  # the last count that was begun; kept while anybody waits

    async def answer(self, asked: TopQuery, connection: Connection) -> Top:
        """Return the answer of a count that was begun after this call.

        Raises RequestError, ConnectionError if the client has gone meanwhile, and what the backend raises.
        """
        if self._waiting >= MOST_WAITING:
            raise _busy()
        self._waiting += 1
        try:
            return await self._in_turn(asked, connection)
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._last = None

    async def _in_turn(self, asked: TopQuery, connection: Connection) -> Top:
        before = self._begun
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._turn.acquire()
        except TimeoutError:
            raise _busy() from None
        try:
            connection.check_connected()
            if self._last is not None and self._last[0] > before and self._last[1] == asked:
                return self._last[2]
            self._begun += 1
            number, self._last = self._begun, None
            counted = await self._backend.top(asked)
            self._last = number, asked, counted
            return counted
        finally:
            self._turn.release()


def _busy() -> RequestError:
    return RequestError(503, "busy", "too much is to be counted at once: try again")
