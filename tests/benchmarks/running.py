"""What the daemon is made of, without its schedule: store, cache and jobs, wired as in the daemon."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from bangeod.clock import SystemClock
from bangeod.config.settings import DatabaseSettings, GeoSettings, Settings, StateSettings
from bangeod.jobs.job import JobId, Report
from bangeod.service.components import Components
from bangeod.service.lock import DatabaseLock


def settings(path: Path, mmdb: tuple[Path, ...] = ()) -> Settings:
    """Return the defaults for the database at a path, with everything beside it."""
    return Settings(
        database=DatabaseSettings(path=path), state=StateSettings(directory=path.parent), geo=GeoSettings(mmdb=mmdb)
    )


@asynccontextmanager
async def running(chosen: Settings) -> AsyncGenerator[Components, None]:
    """Hand out components that serve the database and have their sources ready."""
    lock = DatabaseLock(chosen.database.path)
    lock.acquire()
    components = Components(chosen, SystemClock(), lock)
    try:
        await components.sources.refresh()
        await components.ready()
        yield components
    finally:
        await components.close()
        lock.release()


async def done(components: Components, job_id: JobId) -> Report:
    """Run a job; a RuntimeError where it failed. One that ran out of its time is the caller's to notice."""
    report = await components.run_job(job_id)
    if report.problem is not None:
        raise RuntimeError(f"{job_id} ended {report.outcome}: {report.problem}")
    return report
