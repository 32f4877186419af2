"""The database that the daemon serves: before each job, its lock, file and cache are checked."""

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
    """The file at ``path`` with its lock, and the cache filled from it. Used on the event loop only."""

    def __init__(self, path: Path, lock: DatabaseLock, store: Store, cache: GeoCache) -> None:
        self._path = path
        self._lock = lock
        self._store = store
        self._cache = cache
        self._served = False  # whether a database has been opened
        self._opening = asyncio.Lock()
        self._load_problem: str | None = None  # why the cache can't be filled; None once it is
        self.problem: str | None = None  # what is wrong with the database, as far as known here

    async def ready(self) -> None:
        """Make sure of lock, database and cache; raises StoreError. A replaced database is loaded again."""
        async with self._opening:  # jobs that start together find a new file together
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
        """Fill the cache. A failure to read is logged once, and tried again."""
        try:
            count = await self._cache.load_from_db()
        except StoreError as error:
            if error.problem != self._load_problem:
                log.error("geo_cache_not_loaded", **error.log_fields())  # noqa: TRY400 - no bug
            self._load_problem = error.problem
            return
        self._load_problem = None
        gc.freeze()  # loaded entries stay; scanning them again and again would stop the event loop each time
        log.info("geo_cache_loaded", rows=count, entries=self._cache.entries)
