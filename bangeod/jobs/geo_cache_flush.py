"""The job geo_cache_flush: writes newly resolved entries from the dirty set to the table."""

from typing import Final

import structlog

from bangeod.geo.cache.cache import GeoCache
from bangeod.jobs.job import Counts, Declaration, JobId, Result, Run

log = structlog.get_logger(__name__)

DECLARATION: Final = Declaration(
    JobId.GEO_CACHE_FLUSH,
    "writes newly resolved addresses from memory to the table",
    make=lambda tools, _settings: GeoCacheFlush(tools.cache),
    counts=Counts(written=("flushed",)),
    keeps_record=False,  # it is due again within a minute anyway
    waits_without_record=True,  # there is nothing to write just after a start
)


class GeoCacheFlush:
    """Writes the dirty set."""

    id = DECLARATION.id

    def __init__(self, cache: GeoCache) -> None:
        self._cache = cache

    async def run(self, run: Run) -> Result:
        """Write all entries, or as many as the time allows."""
        if run.dry:
            return Result({"would_flush": self._cache.dirty})
        flushed = await self._cache.flush_dirty(run.time_left)
        if flushed:
            log.debug("geo_cache_flush_ran", flushed=flushed)
        figures = {"flushed": flushed} | ({"refused": self._cache.refused} if self._cache.refused else {})
        return Result(figures, finished=run.time_left() > 0 or not self._cache.dirty)
