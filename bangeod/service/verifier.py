"""Starting the verification of the cache when an MMDB has changed, also while the daemon was down."""

import asyncio
import time
from typing import Final

import structlog

from bangeod.service.components import Components

log = structlog.get_logger(__name__)

UNTIL_LOADED: Final = 1.0  # seconds between two checks whether the cache is loaded


class Verifier:
    """Has the cache verified against the MMDBs in use, whenever these change. Used on the event loop only."""

    def __init__(self, components: Components) -> None:
        self._components = components
        self._wanted = asyncio.Event()
        self._generation = components.sources.mmdb.generation
        self._starting = True

    def look(self) -> None:
        """Check whether the MMDBs in use have changed; at the start, since the last verification."""
        generation = self._components.sources.mmdb.generation
        starting, self._starting = self._starting, False
        if generation == self._generation or not self._components.sources.mmdb.loaded:
            return
        self._generation = generation
        history, builds = self._components.history, self._components.sources.builds()
        if not starting or not (history.is_empty or builds == history.verified()):
            self._wanted.set()
        elif history.is_empty:  # the very first start: entries that the web app has resolved stay as they are
            history.has_verified(builds)

    async def run(self) -> None:
        """Verify whenever that is wanted, and again if the files change meanwhile."""
        while True:
            await self._wanted.wait()
            if self._components.cache.loaded:
                self._wanted.clear()
                await self._verify()
            else:
                await asyncio.sleep(UNTIL_LOADED)

    async def _verify(self) -> None:
        components, builds, loads = self._components, self._components.sources.builds(), self._components.cache.loads
        began = time.monotonic()
        result = await components.cache.verify(components.sources.mmdb.find)
        seconds = round(time.monotonic() - began, 3)
        log.info("geo_cache_verified", checked=result.checked, changed=result.changed, seconds=seconds)
        if (
            components.cache.loads != loads or not components.cache.loaded
        ):  # part of the entries loaded meanwhile was passed over
            self._wanted.set()
        if not self._wanted.is_set() and components.sources.builds() == builds:  # files may have gone meanwhile
            components.history.has_verified(builds)
            await components.history.save()
