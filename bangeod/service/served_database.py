"""The database that the daemon serves: before each job lock, file and cache are made sure of."""

import asyncio
import gc
from pathlib import Path

import structlog

from bangeod.errors import StoreError
from bangeod.geo.cache.cache import GeoCache
from bangeod.service.lock import DatabaseLock
from bangeod.store.port import Store

log = structlog.get_logger(__name__)


class ServedDatabase:
    """The file at ``path`` with its lock, and the cache filled from it. The event loop's."""

    def __init__(self, path: Path, lock: DatabaseLock, store: Store, cache: GeoCache) -> None:
        self._path = path
        self._lock = lock
        self._store = store
        self._cache = cache
        self._served = False  # whether a database has been opened
        self._opening = asyncio.Lock()
        self._load_problem: str | None = None  # why the cache could not be filled, for as long as it can't
        self.problem: str | None = None  # what is wrong, as far as this has met it

    async def ready(self) -> None:
        """Make sure of lock, database and cache; raises StoreError. One that was replaced is read anew."""
        async with self._opening:  # jobs that are due together find a new file together
            try:
                self._lock.acquire()
                if await self._store.prepare():
                    if self._served:
                        log.warning("database_replaced", database=str(self._path))
                        self._cache.clear()
                    self._served = True
                if not self._cache.loaded:
                    await self._load()
            except StoreError as error:
                self.problem = str(error)
                raise
            self.problem = self._load_problem

    async def _load(self) -> None:
        """Fill the cache. A database that can't be read now is said once, and tried again."""
        try:
            count = await self._cache.load_from_db()
        except StoreError as error:
            if error.problem != self._load_problem:
                log.error("geo_cache_not_loaded", **error.log_fields())  # noqa: TRY400 - no bug
            self._load_problem = error.problem
            return
        self._load_problem = None
        gc.freeze()  # what was loaded stays; to look through it again and again would stop the event loop each time
        log.info("geo_cache_loaded", rows=count, entries=self._cache.entries)
