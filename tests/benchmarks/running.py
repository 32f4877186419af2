"""What the daemon is made of, without its schedule: store, cache and jobs, wired as in the daemon."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from bangeod.clock import SystemClock
from bangeod.config.settings import Database, Geo, Settings, State
from bangeod.jobs.job import JobId, Report
from bangeod.service.core import Core
from bangeod.service.lock import DatabaseLock


def settings(path: Path, mmdb: tuple[Path, ...] = ()) -> Settings:
    """Return the defaults for the database at a path, with everything beside it."""
    return Settings(database=Database(path=path), state=State(directory=path.parent), geo=Geo(mmdb=mmdb))


@asynccontextmanager
async def running(chosen: Settings) -> AsyncGenerator[Core, None]:
    """Hand out a core that serves the database and has its sources ready."""
    lock = DatabaseLock(chosen.database.path)
    lock.acquire()
    core = Core(chosen, SystemClock(), lock)
    try:
        await core.sources.refresh()
        await core.ready()
        yield core
    finally:
        await core.close()
        lock.release()


async def done(core: Core, job_id: JobId) -> Report:
    """Run a job; a RuntimeError where it failed. One that ran out of its time is the caller's to notice."""
    report = await core.run_job(job_id)
    if report.problem is not None:
        raise RuntimeError(f"{job_id} ended {report.outcome}: {report.problem}")
    return report
