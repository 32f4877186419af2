"""The registry: which jobs there are, made for the settings in force."""

from collections.abc import Mapping
from typing import Final

from bangeod.geo.cache.cache import GeoCache
from bangeod.jobs.ban_watch import BanWatch
from bangeod.jobs.geo_cache_cleanup import GeoCacheCleanup
from bangeod.jobs.geo_cache_flush import GeoCacheFlush
from bangeod.jobs.geo_re_resolve import GeoReResolve
from bangeod.jobs.job import Job, JobId
from bangeod.jobs.kept_rows import KeptRows
from bangeod.jobs.session_cleanup import SessionCleanup
from bangeod.store.port import Store

DESCRIPTIONS: Final = {
    JobId.GEO_CACHE_FLUSH: "writes newly resolved addresses from memory to the table",
    JobId.GEO_RE_RESOLVE: "tries addresses without a country again",
    JobId.GEO_CACHE_CLEANUP: "deletes addresses that were not seen for long",
    JobId.SESSION_CLEANUP: "deletes expired login sessions",
}

# The flush is due again within a minute anyway; the others are made up for after a restart.
WITHOUT_RECORD: Final = frozenset({JobId.GEO_CACHE_FLUSH})
# What these do is best done after an interval, also where nothing is known of an earlier run.
WAITING: Final = frozenset({JobId.GEO_CACHE_FLUSH, JobId.GEO_RE_RESOLVE})


def build(
    store: Store,
    cache: GeoCache,
    bans: BanWatch,
    *,
    retention_days: int,
    max_rows: int,
    kept: KeptRows | None = None,
) -> Mapping[JobId, Job]:
    """Make the jobs; ``kept`` is what those of before have said of rows already."""
    kept = kept or KeptRows()
    jobs: tuple[Job, ...] = (
        GeoCacheFlush(cache),
        GeoReResolve(store, cache, bans, kept=kept),
        GeoCacheCleanup(store, cache, bans, retention_days=retention_days, max_rows=max_rows, kept=kept),
        SessionCleanup(store, kept=kept),
    )
    return {job.id: job for job in jobs}
