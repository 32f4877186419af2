"""Other hosts of the fleet tell which addresses they have written: memory and the fleet's part in lookups follow.

What was missed while nobody listened makes no lookup wrong, as it asks the server: only addresses that are still
without a country are asked about once more.
"""

import asyncio
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from bangeod.fleet.sharing import CHANNEL
from bangeod.geo.cache.cache import GeoCache
from bangeod.store.postgres.listening import Listener

if TYPE_CHECKING:
    from bangeod.fleet.fleet import Fleet
    from bangeod.fleet.geo_tier import GeoTier

AT_ONCE: Final = 2_000  # addresses
MOST: Final = 100_000  # addresses that wait to be read; beyond that, those that were told first are left to lookups


class FleetNotices:
    """Listens to the other hosts. ``on_gap`` has what is without a country asked about again. Used on the loop only."""

    def __init__(self, fleet: "Fleet", tier: "GeoTier", cache: GeoCache, on_gap: Callable[[], None]) -> None:
        self._tier = tier
        self._cache = cache
        self._on_gap = on_gap
        self._waiting: dict[str, None] = {}
        self._told = asyncio.Event()
        self._listener = Listener(
            fleet.conninfo,
            fleet.clock,
            [CHANNEL],
            self.heard,
            self.missed,
            is_own=lambda process: process == fleet.writer.backend,
        )

    @property
    def is_listening(self) -> bool:
        """Whether the others are heard."""
        return self._listener.is_listening

    async def listen(self) -> None:
        """Listen; never returns."""
        await self._listener.run()

    async def follow(self) -> None:
        """Read what was told of; never returns."""
        while True:
            await self._told.wait()
            self._told.clear()
            while self._waiting:
                some = list(islice(self._waiting, AT_ONCE))
                for ip in some:
                    del self._waiting[ip]
                await self._cache.told_of(some)

    async def heard(self, _channel: str, ips: Sequence[str]) -> None:
        """Note addresses that another host has written."""
        for ip in ips:
            self._waiting.pop(ip, None)
            self._waiting[ip] = None
        for ip in list(islice(self._waiting, max(0, len(self._waiting) - MOST))):
            del self._waiting[ip]
        self._told.set()
        await asyncio.sleep(0)  # many notices may come at once

    async def missed(self, _since: float) -> None:
        """Note that something may have been missed, and that the server is there."""
        await self._tier.is_back()
        self._on_gap()
