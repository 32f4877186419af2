"""Lookups that ask sources: answered in time with what is known by then, and finished in the background.

Asking ip-api costs quota: an answer that comes too late for one client is in memory for the next.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from bangeod.api.backend import Backend
from bangeod.api.entry_json import AT_ONCE
from bangeod.cooperative import yielding
from bangeod.geo.cache.cache import DATABASE_SECONDS
from bangeod.model import Answer, Status

log = structlog.get_logger(__name__)

LOOKUP_SECONDS: Final = 30.0  # for a lookup that asks sources; it is answered with what is known by then
MOST_LEFT: Final = 20_000  # weight of the lookups that go on although nobody waits for them any more
_EACH: Final = 100  # weight of a lookup itself; each of its addresses adds 1

_UNRESOLVED: Final = Status.UNRESOLVED


class PendingLookups:
    """The lookups that are asking sources now. Used on the event loop only."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._running: dict[asyncio.Task[list[Answer]], int] = {}  # its weight once nobody waits for it, else 0

    async def cached(self, ips: Sequence[str]) -> list[Answer]:
        """Return what memory knows of each address."""
        answers: list[Answer] = []
        async for some in yielding(ips, AT_ONCE):
            answers += self._backend.cache.lookup_cached_only(some)
        return answers

    async def stored(self, answers: list[Answer]) -> list[Answer]:
        """Fill in from their rows what memory does not know; return the same list. Asks no source.

        What a slow database has not answered within DATABASE_SECONDS stays unknown.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + DATABASE_SECONDS
        places = [place for place, answer in enumerate(answers) if answer.status is _UNRESOLVED]
        async for some in yielding(places, AT_ONCE):
            if loop.time() >= until:
                break
            found = await self._backend.cache.lookup_stored([answers[place].ip for place in some])
            for place, answer in zip(some, found, strict=True):
                answers[place] = answer
        return answers

    async def completed(self, answers: list[Answer], until: float) -> list[Answer]:
        """Fill in what memory did not know, and return the same list.

        Addresses that are not known at ``until`` (the loop's time) are still looked up, in the background.
        """
        places = [place for place, answer in enumerate(answers) if answer.status is _UNRESOLVED]
        unknown = [answers[place].ip for place in places]
        if unknown and self._worth_asking(unknown):
            found = await self._asked(unknown, until)
            for place, answer in zip(places, found, strict=True):
                answers[place] = answer
        return answers

    def _worth_asking(self, ips: Sequence[str]) -> bool:
        # Many are not checked here: with IPv6 that would hold up the event loop; a lookup gives other tasks turns.
        return len(ips) > AT_ONCE or self._backend.cache.worth_asking(ips)

    async def _asked(self, ips: Sequence[str], until: float) -> list[Answer]:
        loop = asyncio.get_running_loop()
        looking = loop.create_task(self._look_up(ips), name="lookup")
        self._running[looking] = 0
        looking.add_done_callback(self._ended)
        done, _ = await asyncio.wait((looking,), timeout=max(0.0, until - loop.time()))
        if done:
            return looking.result()
        self._leave(looking, len(ips) + _EACH)
        return await self.cached(ips)

    async def _look_up(self, ips: Sequence[str]) -> list[Answer]:
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                return await self._backend.cache.lookup_unknown(ips)
        except TimeoutError:
            return await self.cached(ips)

    def _leave(self, looking: asyncio.Task[list[Answer]], weight: int) -> None:
        """Let a lookup go on for nobody; above MOST_LEFT it is cancelled, and a job looks up its addresses later."""
        if sum(self._running.values()) + weight > MOST_LEFT:
            looking.cancel()
        else:
            self._running[looking] = weight

    def _ended(self, looking: asyncio.Task[list[Answer]]) -> None:
        left = self._running.pop(looking)
        if left and not looking.cancelled() and (error := looking.exception()) is not None:
            log.error("lookup_failed", exc_info=error)

    async def close(self) -> None:
        """Cancel all of them."""
        for looking in list(self._running):
            looking.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
