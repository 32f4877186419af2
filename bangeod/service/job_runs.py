"""Running a job by its id with the settings in force, and recording its success."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from bangeod.jobs import registry
from bangeod.jobs.job import Job, JobId, Report, Tools
from bangeod.jobs.kept_rows import KeptRows
from bangeod.jobs.runner import Runner
from bangeod.jobs.turns import JobInTurn
from bangeod.service.components import Components
from bangeod.service.schedule import timing
from bangeod.service.state import saving

if TYPE_CHECKING:
    from bangeod.config import JobSettings


class JobRuns:
    """Runs jobs. Each run makes a new job, so that it uses the settings of the time when it began.

    ``ready`` is awaited before each body: it makes sure that the database can be used, and raises StoreError.
    """

    def __init__(self, components: Components, ready: Callable[[], Awaitable[object]]) -> None:
        self._components = components
        self._runner = Runner(components.clock, ready)
        self._tools = Tools(components.store, components.cache, components.bans, KeptRows())

    async def run(self, job_id: JobId, *, dry: bool = False, by_hand: bool = False) -> Report:
        """Run a job once, and record its success; one ``by_hand`` is on the disk when this returns, if possible.

        Raises JobElsewhereError where another daemon of the database is running it, and, not ``by_hand``,
        JobDoneElsewhereError where another has done it.
        """
        settings: JobSettings = getattr(self._components.settings.jobs, job_id)
        job = self._job(job_id) if dry else self._job_in_turn(job_id, settings.interval, by_hand=by_hand)
        report = await self._runner.run(job, settings.timeout, dry=dry)
        if report.succeeded and not dry:
            await self._note_success(report, by_hand=by_hand)
        return report

    def _job(self, job_id: JobId) -> Job:
        return registry.make(job_id, self._tools, self._components.settings.jobs)

    def _job_in_turn(self, job_id: JobId, interval: float, *, by_hand: bool) -> Job:
        """Make a job that waits its turn, where several daemons may serve the database."""
        job, declared, turns = self._job(job_id), registry.DECLARATIONS[job_id], self._components.turns
        if turns is None or not declared.for_all:
            return job
        if by_hand or declared.is_own(self._tools):
            return JobInTurn(job, turns, lambda _ago: False)
        return JobInTurn(job, turns, partial(timing.is_done_by, interval=interval))

    async def _note_success(self, report: Report, *, by_hand: bool) -> None:
        if registry.DECLARATIONS[report.job_id].keeps_record:
            history, at = self._components.history, report.started_at
            waits = not by_hand and saving.may_wait(at, saved=history.saved_success(report.job_id))
            history.succeeded(report.job_id, at, may_wait=waits)
            await history.save()
        else:
            await self._components.unwritten.remove_once_written()
