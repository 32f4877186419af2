"""What the daemon and the commands share: store, sources, cache and jobs, made from the settings."""

import asyncio
import gc
from typing import Final

import structlog

from bangeod.clock import Clock
from bangeod.config import Settings
from bangeod.errors import StoreError
from bangeod.geo.cache.cache import GeoCache
from bangeod.geo.cache.naming import Naming
from bangeod.geo.cache.resolver import Resolver
from bangeod.jobs import registry
from bangeod.jobs.ban_watch import BanWatch
from bangeod.jobs.job import Job, JobId, Report, Tools
from bangeod.jobs.kept_rows import KeptRows
from bangeod.jobs.runner import Runner
from bangeod.service.active_sources import Sources
from bangeod.service.lock import DatabaseLock
from bangeod.service.state import unwritten
from bangeod.service.state.history import STATE_FILE, History
from bangeod.store.sqlite.store import SqliteStore

log = structlog.get_logger(__name__)

LEFTOVER_FILE: Final = "unwritten.json"


class Components:
    """Everything but schedule, signals and systemd. Made and used on one event loop.

    With ``look_only`` the files of the state directory stay as they are, the bad ones too.
    """

    def __init__(self, settings: Settings, clock: Clock, lock: DatabaseLock, *, look_only: bool = False) -> None:
        self.settings = settings
        self.clock = clock
        self.lock = lock
        self.store = SqliteStore(
            settings.database.path,
            busy_timeout=settings.database.busy_timeout,
            max_lock_time=settings.database.max_lock_time,
            clock=clock,
        )
        self.history = History(settings.state.directory / STATE_FILE)
        self.history.load(look_only=look_only)
        self.naming = Naming(self.store, self.history)
        self.resolver = Resolver(clock, may_ask_remote=lambda: self.lock.held, named=self.naming.named)
        self.sources = Sources(settings, clock, self.history, self.resolver)
        self.cache = GeoCache(self.store, self.resolver, clock, naming=self.naming)
        self.runner = Runner(clock, lambda: self.ready())  # noqa: PLW0108 - the daemon puts another in its place
        self.jobs: dict[JobId, Job] = {}
        self._bans = BanWatch()
        self._kept = KeptRows()
        self.load_problem: str | None = None  # why the cache could not be filled, for as long as it can't
        self._loading = asyncio.Lock()
        self._leftover_path = settings.state.directory / LEFTOVER_FILE
        self._leftover_is_there = False
        self._has_taken_up_leftover = False
        self._leftover_stays = unwritten.stays()
        self._look_only = look_only
        self.apply(settings)

    def apply(self, settings: Settings) -> None:
        """Take up settings; those that only a restart can change are the caller's to hold back."""
        self.settings = settings
        self.store.busy_timeout = settings.database.busy_timeout
        self.store.max_lock_time = settings.database.max_lock_time
        self.cache.limit(max_entries=settings.cache.max_entries, max_dirty=settings.cache.max_dirty)
        self.sources.apply(settings)
        self._bans.source = self.sources.bans
        self.jobs = dict(registry.build(Tools(self.store, self.cache, self._bans, self._kept), settings.jobs))

    def timeout(self, job_id: JobId) -> float:
        """Return a job's timeout, in seconds."""
        seconds: float = getattr(self.settings.jobs, job_id).timeout
        return seconds

    async def run_job(self, job_id: JobId, *, dry: bool = False) -> Report:
        """Run a job once, and note its success."""
        report = await self.runner.run(self.jobs[job_id], self.timeout(job_id), dry=dry)
        if report.succeeded and not dry:
            await self._note_success(report)
        return report

    async def _note_success(self, report: Report) -> None:
        if registry.DECLARATIONS[report.job_id].keeps_record:
            self.history.succeeded(report.job_id, report.started_at)
            await self.history.save()
        elif self._leftover_is_there and not self.cache.dirty:
            # Tried again after each flush, for as long as it fails.
            gone = await asyncio.to_thread(unwritten.discard, self._leftover_path, self._leftover_stays)
            self._leftover_is_there = not gone

    async def ready(self) -> None:
        """Make sure of the database before a job; raises StoreError."""
        await self.store.prepare()

    async def load(self) -> None:
        """Fill the cache from the database. A database that can't be read now is said once, and tried again."""
        async with self._loading:
            if not self.cache.loaded:
                await self._load()

    async def _load(self) -> None:
        try:
            count = await self.cache.load_from_db()
        except StoreError as error:
            if error.problem != self.load_problem:
                log.error("geo_cache_not_loaded", **error.log_fields())  # noqa: TRY400 - no bug
            self.load_problem = error.problem
            return
        self.load_problem = None
        gc.freeze()  # what was loaded stays; to look through it again and again would stop the event loop each time
        log.info("geo_cache_loaded", rows=count, entries=self.cache.entries)

    def take_up_leftover(self) -> None:
        """Put what an earlier stop could not write into the dirty set again."""
        entries = unwritten.load(self._leftover_path, look_only=self._look_only)
        self._leftover_is_there = bool(entries)
        if entries:
            log.info("leftover_taken_up", entries=len(entries))
            self.cache.restore_dirty(entries)
        self._has_taken_up_leftover = True

    def keep_leftover(self) -> None:
        """Put what is still not written into the file, or remove the file where nothing is left."""
        if self._look_only:
            return
        entries = self.cache.dirty_entries()
        if unwritten.save(self._leftover_path, entries) and entries:
            log.warning("leftover_kept", entries=len(entries), path=str(self._leftover_path))

    def keep_leftover_of_crash(self) -> None:
        """Put what is not written into the file. One whose entries are not all here, or may be, is left alone."""
        if self._has_taken_up_leftover and self.cache.dirty:
            self.keep_leftover()

    async def close(self) -> None:
        """Let go of files and connections."""
        try:
            await self.sources.close()
        finally:
            await self.store.close()  # its thread would keep the process from ending
