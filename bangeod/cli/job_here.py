"""Running a job without a daemon: with store, sources and cache of the command's own."""

from bangeod.api.messages import JobReport, report_of
from bangeod.cli import without_daemon
from bangeod.clock import to_text
from bangeod.config import Settings
from bangeod.jobs.job import JobId, Report
from bangeod.service.components import Components
from bangeod.service.job_runs import JobRuns


def run(settings: Settings, job_id: JobId, *, dry_run: bool) -> JobReport:
    """Run a job once; a dry run changes nothing."""

    async def body(components: Components) -> Report:
        return await JobRuns(components, components.store.prepare).run(job_id, dry=dry_run, by_hand=True)

    report = without_daemon.work(settings, body, look_only=dry_run)
    return report_of(report, to_text(report.started_at))
