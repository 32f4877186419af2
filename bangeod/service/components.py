"""The components that daemon and commands share: store, sources and cache, made for the settings in force."""

from collections.abc import Callable
from functools import partial

from bangeod.clock import Clock
from bangeod.config import Settings
from bangeod.geo.cache.cache import GeoCache
from bangeod.geo.cache.contents import MOST_DIRTY
from bangeod.geo.cache.naming import Naming
from bangeod.geo.cache.resolver import Resolver
from bangeod.jobs.ban_watch import BanWatch
from bangeod.service.active_sources import MakeTurns, NewSources, Sources
from bangeod.service.database import Lock, fleet_of, geo_tier_of, ip_api_turns_of, store_of, turns_of
from bangeod.service.settings_in_force import SettingsInForce
from bangeod.service.state.history import STATE_FILE, History
from bangeod.service.unwritten_entries import UNWRITTEN_FILE, UnwrittenEntries


class Components:
    """Store, sources, cache and what belongs to them; making them reads nothing. Used on one event loop.

    With ``look_only`` the files of the state directory stay as they are, even bad ones. ``flush_soon`` and ``learned``
    are passed to the cache; ``make_sources`` lets tests provide their own sources.
    """

    def __init__(
        self,
        settings: SettingsInForce,
        clock: Clock,
        lock: Lock,
        *,
        look_only: bool = False,
        flush_soon: Callable[[], None] = lambda: None,
        learned: Callable[[], None] = lambda: None,
        make_sources: Callable[[SettingsInForce, Clock, History, MakeTurns], Sources] = Sources,
    ) -> None:
        first = settings.current
        self.in_force = settings
        self.clock = clock
        self.lock = lock
        self.store = store_of(first.database, clock)
        self.turns = turns_of(first, clock)
        self.fleet = fleet_of(first.fleet, clock)
        self.geo_tier = geo_tier_of(self.fleet, MOST_DIRTY * first.cache.max_dirty)
        self.history = History(first.state.directory / STATE_FILE)
        self.naming = Naming(self.store, self.history)
        self.sources = make_sources(settings, clock, self.history, partial(ip_api_turns_of, self.fleet))
        self.resolver = Resolver(
            clock,
            self.sources,
            fleet=self.geo_tier,
            may_ask_remote=lambda: lock.held,
            named=self.naming.named,
        )
        self.cache = GeoCache(
            self.store,
            self.resolver,
            clock,
            naming=self.naming,
            max_entries=first.cache.max_entries,
            max_dirty=first.cache.max_dirty,
            flush_soon=flush_soon,
            learned=learned,
        )
        self.bans = BanWatch(self.sources.bans)
        self.unwritten = UnwrittenEntries(first.state.directory / UNWRITTEN_FILE, self.cache, look_only=look_only)
        self._look_only = look_only

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.in_force.current

    def read_history(self) -> None:
        """Read the record of earlier runs; to be called before anything else."""
        self.history.load(look_only=self._look_only)

    def apply(self) -> None:
        """Pass the settings in force to the components that can't ask for them because they know no config."""
        database, cache = self.settings.database, self.settings.cache
        self.store.limit(busy_timeout=database.busy_timeout, max_lock_time=database.max_lock_time)
        self.cache.limit(max_entries=cache.max_entries, max_dirty=cache.max_dirty)
        if self.fleet is not None:
            self.fleet.limit(timeout=self.settings.fleet.timeout)
        if self.geo_tier is not None:
            self.geo_tier.outbox.limit(MOST_DIRTY * cache.max_dirty)

    async def refresh_sources(self) -> bool:
        """Update the sources; return whether one is new, so that unresolved addresses may be asked about again."""
        new = await self.sources.refresh()
        if new:
            self.ask_again(new_remote=NewSources.REMOTE in new)
        return bool(new)

    def ask_again(self, *, new_remote: bool = False) -> None:
        """Let unresolved addresses be asked about again: a source is new, or can be asked again."""
        self.cache.clear_neg_cache()
        self.resolver.sources_changed(new_remote=new_remote)

    async def close(self) -> None:
        """Close files and connections."""
        try:
            await self.sources.close()
        finally:
            try:
                if self.geo_tier is not None:
                    await self.geo_tier.close()
                if self.fleet is not None:
                    await self.fleet.close()
            finally:
                await self.store.close()  # its thread would keep the process from ending
