"""What the daemon is made of, without its schedule: store, cache and jobs, wired as in the daemon."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from bangeod.clock import SystemClock
from bangeod.config.settings import DatabaseSettings, GeoSettings, Settings, StateSettings
from bangeod.jobs.job import JobId, Report
from bangeod.service.components import Components
from bangeod.service.job_runs import JobRuns
from bangeod.service.served_database import ServedDatabase
from tests.support.daemon.served import served


def settings(path: Path, mmdb: tuple[Path, ...] = ()) -> Settings:
    """Return the defaults for the database at a path, with everything beside it."""
    return Settings(
        database=DatabaseSettings(path=path), state=StateSettings(directory=path.parent), geo=GeoSettings(mmdb=mmdb)
    )


@asynccontextmanager
async def running(chosen: Settings) -> AsyncGenerator[Components, None]:
    """Hand out components that serve the database and have their sources ready."""
    async with served(chosen, SystemClock()) as components:
        await components.store.prepare()
        yield components


async def load(components: Components) -> None:
    """Have the cache filled as the daemon does."""
    path, done = components.settings.database.name, asyncio.Event()
    served_database = ServedDatabase(path, components.lock, components.store, components.cache, on_change=done.set)
    await served_database.ready()
    loading = asyncio.create_task(served_database.keep_loaded())
    await done.wait()
    loading.cancel()


async def done(components: Components, job_id: JobId) -> Report:
    """Run a job; a RuntimeError where it failed. One that ran out of its time is the caller's to notice."""
    return succeeded(await JobRuns(components, components.store.prepare).run(job_id))


def succeeded(report: Report) -> Report:
    """Return a report; a RuntimeError where it is of a failure."""
    if report.problem is not None:
        raise RuntimeError(f"{report.job_id} ended {report.outcome}: {report.problem}")
    return report
