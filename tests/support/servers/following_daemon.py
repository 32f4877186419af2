"""What of a daemon writes to a server's database and follows others there: several of it fit in one process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bangeod.clock import SystemClock
from bangeod.geo.cache.cache import GeoCache
from bangeod.geo.cache.resolver import Found, Resolver
from bangeod.model import Geo, Origin
from bangeod.service.following import Following
from bangeod.store.postgres.announcing import CHANNEL
from bangeod.store.postgres.connection import Conninfo
from bangeod.store.postgres.listening import Listener
from bangeod.store.postgres.store import PostgresStore
from tests.support.fakes import SourcesInHand


class FollowingDaemon:
    """Its store, its memory, and what has that follow."""

    def __init__(self, conninfo: Conninfo, *, schema: str | None = None) -> None:
        clock = SystemClock()
        self.store = PostgresStore(conninfo, clock, schema=schema)
        self.cache = GeoCache(self.store, Resolver(clock, SourcesInHand()), clock)
        self.caught_up = asyncio.Event()
        self.following = Following(self.cache, clock, self.caught_up.set)
        self.listener = Listener(
            conninfo,
            clock,
            [CHANNEL],
            self.following.on_addresses,
            self.following.on_gap,
            is_own=self.store.is_own,
        )

    def resolve(self, *ips: str, country: str = "DE") -> None:
        """Have it learn where addresses are, as if a source had said so."""
        self.cache.adopt({ip: Found(Geo(country, "Name"), Origin.MMDB) for ip in ips})

    async def knows(self, ip: str, country: str | None = "DE") -> None:
        """Wait until memory has this country for an address; None: until it has forgotten it."""
        while (known.country_code if (known := self.cache.known(ip)) else None) != country:  # noqa: ASYNC110 - memory does not tell
            await asyncio.sleep(0.001)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["FollowingDaemon"]:
        tasks = [asyncio.ensure_future(self.listener.run()), asyncio.ensure_future(self.following.run())]
        try:
            await self.listener.tried()
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self.store.close()
