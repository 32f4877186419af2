"""The database that the daemon serves: before each job its lock and file are checked, and the cache is filled from it.

The cache is filled in the background. Until then memory lacks entries, and all others find these in the database.
"""

import asyncio
import gc
from collections.abc import Callable

import structlog

from bangeod.errors import StoreError
from bangeod.geo.cache.cache import GeoCache
from bangeod.service.database import Lock
from bangeod.store.port import Store
from bangeod.trouble import Trouble

log = structlog.get_logger(__name__)


class ServedDatabase:
    """The database with its lock, and the cache filled from it. Used on the event loop only.

    ``name`` is what the log calls it; ``on_change`` is called when the cache has been filled, or could not be.
    """

    def __init__(
        self,
        name: str,
        lock: Lock,
        store: Store,
        cache: GeoCache,
        *,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name
        self._lock = lock
        self._store = store
        self._cache = cache
        self._on_change = on_change
        self._served = False  # whether a database has been opened
        self._opening = asyncio.Lock()
        self._wanted = asyncio.Event()  # the cache is to be filled
        self._loading: asyncio.Task[None] | None = None
        self._unusable: str | None = None  # why the database could not be opened when that was last tried
        self._not_loaded = Trouble("geo_cache_not_loaded", level="error", repeats=False)
        self._load_problem: str | None = None  # why the cache can't be filled; None once it is

    @property
    def problem(self) -> str | None:
        """Return what is wrong with the database, as far as it is known here."""
        return self._unusable or self._load_problem

    async def ready(self) -> None:
        """Make sure of lock and database; raises StoreError.

        If the cache is not filled, or was filled from a database that has been replaced, ``keep_loaded`` fills it.
        """
        async with self._opening:  # jobs that start together find a new file together
            try:
                self._lock.acquire()
                if await self._store.prepare():
                    if self._served:
                        log.warning("database_replaced", database=self._name)
                        await self._end_loading()
                        self._cache.clear()
                    self._served = True
            except StoreError as error:
                self._unusable = str(error)
                raise
            self._unusable = None
            if self._loading is None and (not self._cache.loaded or self._load_problem is not None):
                self._wanted.set()

    def read_again(self) -> None:
        """Have the whole table read once more, into what memory has: some of its rows may have changed unheard."""
        if self._served:  # else it is read for the first time once it can be
            self._wanted.set()

    async def keep_loaded(self) -> None:
        """Fill the cache whenever it is to be filled; never returns."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            loading = self._loading = asyncio.get_running_loop().create_task(self._load(), name="load")
            try:
                await asyncio.wait((loading,))
            finally:  # at the stop too
                loading.cancel()
                self._loading = None
            if not loading.cancelled():
                loading.result()  # raises what is a bug
            self._on_change()

    async def _end_loading(self) -> None:
        """Have a load that is going on end before anything else of the database is done."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.wait((self._loading,))
            self._loading = None
        self._load_problem = None

    async def _load(self) -> None:
        """Fill the cache. A failure to read is logged once; the next job has it tried again."""
        gc.freeze()  # what the start has made stays; scanning it while much is loaded would stop the event loop
        try:
            count = await self._cache.load_from_db()
        except StoreError as error:
            async with self._opening:  # if another database is just being found, this load is cancelled here
                self._load_problem = error.problem
                self._not_loaded.tell(error.problem, **error.log_fields())
            return
        self._load_problem = None
        self._not_loaded.forget()
        gc.freeze()  # so do loaded entries
        log.info("geo_cache_loaded", rows=count, entries=self._cache.entries)
