"""Having the cache verified whenever an MMDB has changed, also one that changed while the daemon was down."""

import asyncio
import time
from typing import Final

import structlog

from bangeod.service.core import Core

log = structlog.get_logger(__name__)

UNTIL_LOADED: Final = 1.0  # seconds between two looks at whether the cache is loaded


class Verifier:
    """Has the cache verified against the MMDBs in use, each time that there are others. The event loop's."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._wanted = asyncio.Event()
        self._generation = core.sources.mmdb.generation
        self._starting = True

    def look(self) -> None:
        """See whether other MMDBs are in use than before; at the start, than when the cache was last verified."""
        generation = self._core.sources.mmdb.generation
        starting, self._starting = self._starting, False
        if generation == self._generation or not self._core.sources.mmdb.loaded:
            return
        self._generation = generation
        history, builds = self._core.history, self._core.sources.builds()
        if not starting or not (history.is_empty or builds == history.verified()):
            self._wanted.set()
        elif history.is_empty:  # the very first start: what the web app resolved by then stays as it is
            history.has_verified(builds)

    async def run(self) -> None:
        """Verify whenever that is wanted, once more where the files change meanwhile."""
        while True:
            await self._wanted.wait()
            if self._core.cache.loaded:
                self._wanted.clear()
                await self._verify()
            else:
                await asyncio.sleep(UNTIL_LOADED)

    async def _verify(self) -> None:
        core, builds, loads = self._core, self._core.sources.builds(), self._core.cache.loads
        began = time.monotonic()
        result = await core.cache.verify(core.sources.mmdb.find)
        seconds = round(time.monotonic() - began, 3)
        log.info("geo_cache_verified", checked=result.checked, changed=result.changed, seconds=seconds)
        if core.cache.loads != loads or not core.cache.loaded:  # of what was loaded meanwhile, part was passed over
            self._wanted.set()
        if not self._wanted.is_set() and core.sources.builds() == builds:  # files may have gone meanwhile
            core.history.has_verified(builds)
            await core.history.save()
