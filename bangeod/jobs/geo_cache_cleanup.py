"""The job geo_cache_cleanup: deletes entries that were not used for long, from the table and from memory."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from bangeod.addresses import AddressKind, read_address
from bangeod.banned import Banned, Reading
from bangeod.clock import SECONDS_A_DAY
from bangeod.cooperative import yielding
from bangeod.errors import SchemaError, StoreLockedError, StoreRefusedError
from bangeod.geo.cache.cache import GeoCache
from bangeod.jobs.ban_watch import BanWatch
from bangeod.jobs.cleanup import DeletionFigures, carry_out
from bangeod.jobs.disabled_jails import DisabledJails
from bangeod.jobs.job import Counts, Declaration, JobId, Result, Run
from bangeod.jobs.kept_rows import KeptRows
from bangeod.store.port import Store

log = structlog.get_logger(__name__)

DECLARATION: Final = Declaration(
    JobId.GEO_CACHE_CLEANUP,
    "deletes addresses that were not seen for long",
    make=lambda tools, settings: GeoCacheCleanup(
        tools.store,
        tools.cache,
        tools.bans,
        retention_days=settings.retention_days,
        max_rows=settings.max_rows,
        kept=tools.kept,
    ),
    counts=Counts(deleted=("deleted",), unreadable=("unreadable", "invalid")),
    for_all=True,
    scheduled_with=("retention_days",),
)

SOUGHT: Final = 10_000  # addresses; looking up the rows of more takes longer than the 2 s that it may save
BANS_UNREAD: Final = "bans_unread"  # the reason why nothing is deleted


class GeoCacheCleanup:
    """Deletes rows last seen more than ``retention_days`` ago, and the rows above ``max_rows`` (0: no cap)."""

    id = DECLARATION.id

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
        """Delete stale rows; rows of what is banned now stay, and banned addresses count as seen now.

        If a lock or lack of time prevents a complete reading of the bans, nothing is deleted.
        """
        now = int(run.clock.now())
        before = now - self._retention_days * SECONDS_A_DAY
        reading = await self._bans.look(run)
        tally = DeletionFigures("geo_cache", "last_seen")
        if run.dry:
            return await self._foretell(reading, before, tally)
        async for ips in yielding(reading.banned.addresses):
            await self._cache.see(ips)
        with contextlib.suppress(StoreRefusedError, SchemaError):  # a failed write is no reason not to clean up
            await self._cache.flush_dirty(run.time_left)  # what was looked up since the last flush is no longer stale
        if not reading.complete:
            log.debug("geo_cache_cleanup_skip", reason=BANS_UNREAD)
            return Result(self._figures(skipped=BANS_UNREAD, deleted=0), finished=False)
        jails = DisabledJails(reading, run.clock.monotonic())
        if await self._hangs_on(reading.of_gone_jails, before):
            await self._bans.look_again(jails, run)
            doubted = not jails.settled
        else:
            doubted = False
        guard = _Guard(jails.keeper())
        deletion = self._store.delete_stale(before, keep=guard.keep, max_rows=self._max_rows, time_left=run.time_left)
        finished = await carry_out(deletion, tally, run, self._cache.forget)
        say = log.info if tally.deleted else log.debug
        say("geo_cache_cleanup_ran", deleted=tally.deleted, retention_days=self._retention_days)
        tally.warn(self._kept, run, complete=finished)
        guard.warn(self._kept, run, complete=finished)
        tidied = await self._tidy(run) if finished else {}
        kept = {"unreadable": tally.unreadable, **tally.refused(), **guard.figures()}
        shared = await self._cache.delete_shared(before, run.time_left)
        figures = self._figures(
            deleted=tally.deleted, **kept, **tidied, **({"deleted_of_fleet": shared} if shared else {})
        )
        return Result(figures, finished and not doubted)

    async def _foretell(self, reading: Reading, before: int, tally: DeletionFigures) -> Result:
        """Return what would be deleted if further looks agreed with this one on which jails are gone."""
        if not reading.complete:
            return Result(self._figures(skipped=BANS_UNREAD, would_delete=0), finished=False)
        guard = _Guard(reading.banned.holds)
        tally.count(await self._store.count_stale(before, keep=guard.keep, max_rows=self._max_rows))
        figures = self._figures(would_delete=tally.matching, unreadable=tally.unreadable, **guard.figures())
        return Result(figures)

    async def _hangs_on(self, gone: Banned, before: int) -> bool:
        """Return whether deleting a row may depend on whether these bans count. Rows not looked up here stay."""
        if gone.networks or len(gone.addresses) > SOUGHT or (gone and self._max_rows):
            return True
        async for ips in yielding(gone.addresses):
            rows = await self._store.find(ips)
            if any(row.last_seen is not None and row.last_seen < before for row in rows.values()):
                return True
        return False

    async def _tidy(self, run: Run) -> Mapping[str, int]:
        """Tidy up in the time that is left. The next run does the rest: it is no failure."""
        try:
            async with asyncio.timeout(run.time_left()):
                return await self._store.tidy(time_left=run.time_left)
        except (TimeoutError, StoreLockedError):
            return {}

    def _figures(self, **figures: object) -> dict[str, object]:
        return {**figures, "retention_days": self._retention_days}


class _Guard:
    """Decides which rows stay: those that ``protected`` holds, and those whose address can't be read."""

    def __init__(self, protected: Callable[[str], bool]) -> None:
        self._protected = protected
        self._invalid: set[str] = set()  # a key may be asked about more than once

    def keep(self, key: str) -> bool:
        if read_address(key)[0] is not AddressKind.INVALID:
            return self._protected(key)
        if not self._protected(key):
            self._invalid.add(key)
        return True

    def figures(self) -> Mapping[str, int]:
        """Return how many rows stay because their address can't be read, if there are any."""
        return {"invalid": len(self._invalid)} if self._invalid else {}

    def warn(self, kept: KeptRows, run: Run, *, complete: bool) -> None:
        """Log, if it is news, that there are rows without a readable address; ``complete``: all rows were seen."""
        kept.tell(
            "invalid_addresses_kept",
            "invalid_addresses_gone",
            run,
            len(self._invalid),
            example=min(self._invalid, default="")[:80],
            where={"of": "stale rows"},  # geo_re_resolve logs this of other rows
            complete=complete,
        )
