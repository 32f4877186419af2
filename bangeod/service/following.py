"""Memory follows what other daemons write to the same database: their notices say which rows to read again.

What was missed while nobody listened is caught up by reading the whole table once more, in the background.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import Final

from bangeod.clock import Clock
from bangeod.cooperative import yielding
from bangeod.errors import StoreError
from bangeod.geo.cache.cache import GeoCache

AT_ONCE: Final = 2_000  # addresses with one question to the database
MOST: Final = 100_000  # addresses that wait to be read again; above that the whole table is read
CATCH_UP_APART: Final = 60.0  # seconds from one reading of the whole table to the next, at least
AGAIN_AFTER: Final = 5.0  # seconds until the rows are asked for again that could not be read
SETTLED_AFTER: Final = 60.0  # seconds until those are whose entries wait to be written: about when they are


class Following:
    """Has memory follow other daemons. Used on the event loop only.

    ``catch_up`` has the whole table read again, in the background; ``sleep`` takes seconds.
    """

    def __init__(
        self,
        cache: GeoCache,
        clock: Clock,
        catch_up: Callable[[], None],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._cache = cache
        self._clock = clock
        self._catch_up = catch_up
        self._sleep = sleep
        self._waiting: dict[str, float] = {}  # by address: when it was told, in seconds that never step
        self._unsettled: dict[str, None] = {}  # told, but waiting to be written here
        self._caught_up_at = -math.inf  # monotonic
        self._told = asyncio.Event()
        self._is_behind = asyncio.Event()
        self._is_unsettled = asyncio.Event()

    @property
    def lag(self) -> float:
        """How long that has waited which was told first, of what memory does not follow yet; in seconds."""
        first = next(iter(self._waiting.values()), None)
        return 0.0 if first is None else max(0.0, self._clock.monotonic() - first)

    async def on_addresses(self, _channel: str, ips: Sequence[str]) -> None:
        """Note addresses whose rows have changed, or are gone."""
        self._note(ips)
        await asyncio.sleep(0)  # many notices may come at once

    async def on_gap(self, _since: float) -> None:
        """Note that something may have been missed."""
        self._is_behind.set()

    async def run(self) -> None:
        """Follow; never returns."""
        async with asyncio.TaskGroup() as group:
            for work in (self._keep_following, self._keep_up, self._keep_settling):
                group.create_task(work())

    def _note(self, ips: Sequence[str]) -> None:
        now = self._clock.monotonic()
        for ip in ips:
            self._waiting.setdefault(ip, now)
        if len(self._waiting) > MOST:
            self._waiting.clear()
            self._is_behind.set()
        self._told.set()

    async def _keep_following(self) -> None:
        while True:
            await self._told.wait()
            self._told.clear()
            while self._waiting:
                await self._follow(list(islice(self._waiting, AT_ONCE)))

    async def _follow(self, ips: Sequence[str]) -> None:
        since = {ip: self._waiting.pop(ip) for ip in ips}  # what is told from now on is read once more
        try:
            unsettled = await self._cache.follow(ips)
        except StoreError:  # the jobs tell of it
            self._waiting = since | self._waiting
            await self._sleep(AGAIN_AFTER)
            return
        if unsettled:
            self._unsettled.update(dict.fromkeys(unsettled))
            self._is_unsettled.set()

    async def _keep_up(self) -> None:
        while True:
            await self._is_behind.wait()
            early = self._caught_up_at + CATCH_UP_APART - self._clock.monotonic()
            if early > 0:
                await self._sleep(early)
            self._is_behind.clear()
            self._caught_up_at = self._clock.monotonic()
            self._catch_up()

    async def _keep_settling(self) -> None:
        while True:
            await self._is_unsettled.wait()
            await self._sleep(SETTLED_AFTER)
            self._is_unsettled.clear()
            unsettled, self._unsettled = self._unsettled, {}
            async for ips in yielding(unsettled):
                self._note(ips)
