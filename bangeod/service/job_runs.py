"""Running a job by its id with the settings in force, and recording its success."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from bangeod.jobs import registry
from bangeod.jobs.ban_watch import BanWatch
from bangeod.jobs.job import Job, JobId, Report, Tools
from bangeod.jobs.kept_rows import KeptRows
from bangeod.jobs.runner import Runner
from bangeod.service.components import Components

if TYPE_CHECKING:
    from bangeod.config import JobSettings


class JobRuns:
    """Runs jobs. Each run makes a new job, so that it uses the settings of the time when it began.

    ``ready`` is awaited before each body: it makes sure that the database can be used, and raises StoreError.
    """

    def __init__(self, components: Components, ready: Callable[[], Awaitable[object]]) -> None:
        self._components = components
        self._runner = Runner(components.clock, ready)
        self._tools = Tools(components.store, components.cache, BanWatch(components.sources.bans), KeptRows())

    async def run(self, job_id: JobId, *, dry: bool = False) -> Report:
        """Run a job once, and record its success."""
        settings: JobSettings = getattr(self._components.settings.jobs, job_id)
        report = await self._runner.run(self._job(job_id), settings.timeout, dry=dry)
        if report.succeeded and not dry:
            await self._note_success(report)
        return report

    def _job(self, job_id: JobId) -> Job:
        return registry.make(job_id, self._tools, self._components.settings.jobs)

    async def _note_success(self, report: Report) -> None:
        if registry.DECLARATIONS[report.job_id].keeps_record:
            self._components.history.succeeded(report.job_id, report.started_at)
            await self._components.history.save()
        else:
            await self._components.unwritten.remove_once_written()
