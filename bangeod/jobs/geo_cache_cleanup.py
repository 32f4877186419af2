"""The job geo_cache_cleanup: entries that nobody has referred to for long go, from the table and from memory."""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping

import structlog

from bangeod.clock import SECONDS_A_DAY
from bangeod.errors import SchemaError, StoreLockedError, StoreRefusedError
from bangeod.geo.addresses import read as read_address
from bangeod.geo.cache import GeoCache
from bangeod.jobs.bans import BanWatch
from bangeod.jobs.deletion import Tally, carry_out
from bangeod.jobs.job import JobId, Result, Run
from bangeod.jobs.kept_rows import KeptRows
from bangeod.jobs.turns import in_turns
from bangeod.store.port import Store

log = structlog.get_logger(__name__)


class GeoCacheCleanup:
    """Deletes rows last seen more than ``retention_days`` ago, and what is above ``max_rows`` (0: no cap)."""

    id = JobId.GEO_CACHE_CLEANUP

    def __init__(
        self,
        store: Store,
        cache: GeoCache,
        bans: BanWatch,
        *,
        retention_days: int,
        max_rows: int,
        kept: KeptRows | None = None,
    ) -> None:
        self._store = store
        self._cache = cache
        self._bans = bans
        self._retention_days = retention_days
        self._max_rows = max_rows
        self._kept = kept or KeptRows()

    async def run(self, run: Run) -> Result:
        """Delete what is stale; rows of addresses that are banned now stay, and count as seen."""
        now = int(run.clock.now())
        before = now - self._retention_days * SECONDS_A_DAY
        banned = await self._bans.banned_now(run)
        keep = _holder(banned)
        tally = Tally("geo_cache", "last_seen")
        if run.dry:
            tally.count(await self._store.count_stale(before, keep=keep, max_rows=self._max_rows))
            return Result(self._figures(would_delete=tally.matching, unreadable=tally.unreadable))
        async for ips in in_turns(banned):
            self._cache.see(ips)
        with contextlib.suppress(StoreRefusedError, SchemaError):  # what can't be written is no reason not to clean up
            await self._cache.flush_dirty(run.time_left)  # what was looked up since the last flush is no longer stale
        deletion = self._store.delete_stale(before, keep=keep, max_rows=self._max_rows)
        finished = await carry_out(deletion, tally, run, self._cache.forget)
        say = log.info if tally.deleted else log.debug
        say("geo_cache_cleanup_ran", deleted=tally.deleted, retention_days=self._retention_days)
        tally.warn(self._kept, run, complete=finished)
        tidied = await self._tidy(run) if finished else {}
        return Result(self._figures(deleted=tally.deleted, unreadable=tally.unreadable, **tidied), finished)

    async def _tidy(self, run: Run) -> Mapping[str, int]:
        """Tidy up in the time that is left. What can't be done now is done after the next run: it is no failure."""
        try:
            async with asyncio.timeout(run.time_left()):
                return await self._store.tidy()
        except (TimeoutError, StoreLockedError):
            return {}

    def _figures(self, **figures: int) -> dict[str, object]:
        return {**figures, "retention_days": self._retention_days}


def _holder(banned: Collection[str]) -> Callable[[str], bool]:
    """Return what says of a row's key whether its address is banned now."""
    if not banned:
        return lambda _key: False
    return lambda key: read_address(key)[1] in banned
