"""The fleet's bans in the running daemon: this host's are told to the others, and those of all are counted.

The server may be away at any time: then nothing is told or counted, and the next turn makes up for it.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from bangeod.clock import Clock
from bangeod.errors import StoreError, StoreUnreachableError
from bangeod.fleet.all_bans import AllBans
from bangeod.fleet.own_bans import OwnBans
from bangeod.geo.cache.cache import GeoCache
from bangeod.jobs.ban_watch import BanWatch
from bangeod.service import fleet_places
from bangeod.trouble import Trouble

if TYPE_CHECKING:
    from bangeod.fleet.fleet import Fleet

log = structlog.get_logger(__name__)

TOLD_EVERY: Final = 60.0  # seconds
COUNTED_EVERY: Final = 600.0  # seconds
SHARE: Final = 0.05  # of the time, at most, is spent with either
READ_SECONDS: Final = 20.0  # for reading fail2ban's database
CLOSE_SECONDS: Final = 1.0
LOCK_TIMEOUT: Final = 2.0  # seconds; rows are this host's own, so only its own transactions may have them locked
MOST_HOSTS: Final = 200  # that have a figure of their own; the others are counted together


class FleetBanCounts(NamedTuple):
    """How much all hosts ban, and where the addresses are: each once, but for each host that bans it in ``hosts``."""

    countries: Mapping[str, int]  # addresses, by the country's code
    without_country: int  # addresses, those that are not routable as well
    networks: int
    hosts: Mapping[str, int]  # addresses, by host; of those with the most
    other_hosts: int
    in_other_hosts: int  # addresses


class FleetBans:
    """Tells and counts, for as long as the daemon runs. Used on the event loop only; ``sleep`` takes seconds."""

    def __init__(
        self,
        own: OwnBans,
        everyones: AllBans,
        bans: BanWatch,
        cache: GeoCache,
        clock: Clock,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._own = own
        self._everyones = everyones
        self._bans = bans
        self._cache = cache
        self._clock = clock
        self._sleep = sleep
        self._trouble = Trouble("fleet_bans_failed", "fleet_bans_work")
        self._refused = Trouble("fleet_bans_refused")
        self.counts: FleetBanCounts | None = None  # of the last count; None if it failed
        self.told_at: float | None = None  # when the fleet last heard of all bans here, in seconds since the epoch

    @property
    def everyones(self) -> AllBans:
        """The bans of all hosts."""
        return self._everyones

    async def close(self) -> None:
        """End the connections; one that a statement still has, of a server that hangs, is left."""
        for side in (self._own, self._everyones):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await side.close()

    async def keep_told(self) -> None:
        """Tell the fleet of this host's bans each minute; never returns."""
        await self._repeat(self.tell, TOLD_EVERY)

    async def keep_counted(self) -> None:
        """Count all hosts' bans every ten minutes, the first time when memory is likely to be filled; never returns."""
        await self._sleep(TOLD_EVERY)
        await self._repeat(self.count, COUNTED_EVERY)

    async def tell(self) -> None:
        """Tell the fleet of this host's bans once, if they can be read and the server is there."""
        current = await self._bans.in_force(self._clock.now(), READ_SECONDS)
        if current is None:
            return
        try:
            told = await self._own.tell(current)
        except StoreError as error:
            self._tell_trouble(error)
            return
        self._trouble.is_over()
        self.told_at = self._clock.now()
        if told.refused:
            self._refused.tell(count=told.refused, now=self._clock.monotonic(), bans=told.refused)
        elif told.written:
            self._refused.forget()
        log.debug("fleet_bans_told", written=told.written, deleted=told.deleted)

    async def count(self) -> None:
        """Count all hosts' bans once."""
        try:
            self.counts = await self._counted()
            await self._everyones.look_for_bad_rows()
        except StoreError as error:
            self.counts = None
            self._tell_trouble(error)
        finally:
            await self._everyones.close()

    async def _counted(self) -> FleetBanCounts:
        by_host = await self._everyones.by_host(MOST_HOSTS)
        countries: Counter[str] = Counter()
        without = networks = 0
        async for addresses, more in self._everyones.pages():
            networks += more
            async for places in fleet_places.located(self._cache, self._everyones, addresses):
                for place in places:
                    if place is None or place.country_code is None:
                        without += 1
                    else:
                        countries[place.country_code] += 1
        hosts = {each.host: each.addresses for each in by_host.largest}
        others = by_host.addresses - sum(hosts.values())
        return FleetBanCounts(countries, without, networks, hosts, by_host.hosts - len(hosts), others)

    def _tell_trouble(self, error: StoreError) -> None:
        """Log a trouble once; that the server is away, fleet.py says."""
        if isinstance(error, StoreUnreachableError):
            log.debug("fleet_bans_failed", **error.log_fields())
        else:
            self._trouble.tell((error.path, error.problem), **error.log_fields())

    async def _repeat(self, work: Callable[[], Awaitable[None]], every: float) -> None:
        while True:
            began = self._clock.monotonic()
            await work()
            await self._sleep(max(every, (self._clock.monotonic() - began) / SHARE))


def of(fleet: "Fleet", bans: BanWatch, cache: GeoCache) -> FleetBans:
    """Make this host's part in the fleet's bans. Each has a connection of its own, for as long as it is used."""
    from bangeod.store.postgres.session import Session  # noqa: PLC0415 - most daemons have no use for it

    writing, reading = (
        Session(fleet.conninfo, fleet.clock, schema=None, lock_timeout=LOCK_TIMEOUT) for _ in ("writing", "reading")
    )
    own, everyones = OwnBans(writing, fleet.host, fleet.clock), AllBans(reading, fleet.clock)
    return FleetBans(own, everyones, bans, cache, fleet.clock)
