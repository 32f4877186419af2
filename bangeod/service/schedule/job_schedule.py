"""The jobs on the schedule: planning them by the settings, running them, retrying them, and their last reports."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

import structlog

from bangeod.config import JobSettings, Settings
from bangeod.errors import JobDoneElsewhereError, JobElsewhereError, StoppingError
from bangeod.jobs import registry
from bangeod.jobs.job import JobId, Report
from bangeod.service.components import Components
from bangeod.service.job_runs import JobRuns
from bangeod.service.schedule import timing
from bangeod.service.schedule.scheduler import JobScheduler
from bangeod.service.schedule.totals import Totals

log = structlog.get_logger(__name__)


class JobSchedule:
    """Plans the jobs and remembers their last reports; calls ``on_report`` with each. Used on the event loop only."""

    def __init__(
        self, components: Components, job_runs: JobRuns, scheduler: JobScheduler, on_report: Callable[[], None]
    ) -> None:
        self._components = components
        self._job_runs = job_runs
        self._scheduler = scheduler
        self._on_report = on_report
        self.totals = {job_id: Totals(declared.counts) for job_id, declared in registry.DECLARATIONS.items()}
        self.reports: dict[JobId, Report] = {}  # the last report of each job
        self.failing_since: dict[JobId, float] = {}  # seconds since the epoch

    @property
    def disabled(self) -> Collection[JobId]:
        """The jobs that the settings keep off the schedule."""
        return [job_id for job_id in JobId if not _settings_of(self._components.settings, job_id).enabled]

    def plan(self, only: frozenset[JobId] = frozenset(JobId)) -> None:
        """Plan the jobs by the settings in force; this replaces their earlier plans."""
        for place, job_id in enumerate(JobId):
            if job_id in only:
                self._plan(job_id, place)

    def _plan(self, job_id: JobId, place: int) -> None:
        job, declared = _settings_of(self._components.settings, job_id), registry.DECLARATIONS[job_id]
        if not job.enabled:
            self._scheduler.drop(job_id)
            log.info("job_disabled", job_id=str(job_id))
            return
        first = timing.first_run(
            self._components.clock.now(),
            interval=job.interval,
            last_success=self._components.history.last_success(job_id),
            waits_without_record=declared.waits_without_record,
            place=place,
        )
        self._scheduler.plan(job_id, self._body(job_id), interval=job.interval, first_run=first)
        event, more = f"{job_id}_scheduled", {name: getattr(job, name) for name in declared.scheduled_with}
        log.info(event, job_id=str(job_id), interval_seconds=_plain(job.interval), **more)

    def bring_forward(self, job_id: JobId) -> None:
        """Run a job now, if it is planned at all."""
        self._scheduler.bring_forward(job_id, self._components.clock.now())

    def _body(self, job_id: JobId) -> Callable[[], Awaitable[None]]:
        async def body() -> None:
            try:
                report = await self._job_runs.run(job_id)
            except JobElsewhereError:
                self._left(job_id)
            except JobDoneElsewhereError as done:
                self._done_elsewhere(job_id, done.ago)
            else:
                self._note(report)

        return body

    async def run_by_hand(self, job_id: JobId, *, dry: bool) -> Report:
        """Run a job now and return its report. Raises JobRunningError, also of another daemon's run; StoppingError.

        The run goes on even if the caller no longer waits.
        """
        task = self._scheduler.run_by_hand(job_id, lambda: self._by_hand(job_id, dry=dry))
        await asyncio.wait({task})
        if task.cancelled():
            raise StoppingError
        report = task.result()
        if isinstance(report, JobElsewhereError):
            raise report
        return report

    async def _by_hand(self, job_id: JobId, *, dry: bool) -> Report | JobElsewhereError:
        try:
            report = await self._job_runs.run(job_id, dry=dry, by_hand=True)
        except JobElsewhereError as error:  # returned, as perhaps nobody waits any more who could catch it
            return error
        if not dry:
            self._note(report)
        return report

    @property
    def running(self) -> Collection[str]:
        """The ids of the jobs that are running."""
        return self._scheduler.running

    def next_runs(self) -> Mapping[str, float]:
        """Return the time of each job's next run, in seconds since the epoch."""
        return self._scheduler.planned()

    def _left(self, job_id: JobId) -> None:
        """Look again soon whether another daemon, which is running the job, has done it, or has died of it."""
        log.debug("job_elsewhere", job_id=str(job_id))
        planned = self._scheduler.next_run(job_id)
        if planned is not None:
            interval = _settings_of(self._components.settings, job_id).interval
            again = timing.look_again(self._components.clock.now(), interval=interval, planned=planned)
            self._scheduler.bring_forward(job_id, again)

    def _done_elsewhere(self, job_id: JobId, ago: float) -> None:
        """Count what another daemon has done as done, here as well, and plan the next run by it."""
        log.debug("job_done_elsewhere", job_id=str(job_id), ago=round(ago, 1))
        now, history = self._components.clock.now(), self._components.history
        if now - ago > (history.last_success(job_id) or 0.0):
            history.succeeded(job_id, now - ago, may_wait=True)
        self.failing_since.pop(job_id, None)
        interval = _settings_of(self._components.settings, job_id).interval
        self._scheduler.bring_forward(job_id, timing.after_success(now, ago, interval=interval))
        self._on_report()

    def _note(self, report: Report) -> None:
        """Remember a report; a job that failed or did not finish is tried again soon."""
        self.totals[report.job_id].add(report)
        self.reports[report.job_id] = report
        if report.problem is None:
            self.failing_since.pop(report.job_id, None)
        else:
            self.failing_since.setdefault(report.job_id, report.started_at)
        planned = self._scheduler.next_run(report.job_id)
        if not report.succeeded and planned is not None:
            interval = _settings_of(self._components.settings, report.job_id).interval
            again = timing.retry_run(self._components.clock.now(), interval=interval, planned=planned)
            self._scheduler.bring_forward(report.job_id, again)
        self._on_report()


def _settings_of(settings: Settings, job_id: JobId) -> JobSettings:
    job: JobSettings = getattr(settings.jobs, job_id)
    return job


def _plain(seconds: float) -> float | int:
    return int(seconds) if seconds == int(seconds) else seconds
