"""`bangeod job`: lists the jobs, or runs one by hand."""

import sys

import click
import msgspec

from bangeod.api.messages import JobReport
from bangeod.cli import json_output
from bangeod.cli.daemon_client import through_daemon
from bangeod.cli.options import config_option, load_settings
from bangeod.cli.tables import table
from bangeod.clock import to_text
from bangeod.config import duration_text
from bangeod.errors import UsageError
from bangeod.jobs.job import JobId


@click.group()
def job() -> None:
    """List the jobs, or run one by hand."""


@job.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_jobs(config: str | None, as_json: bool) -> None:
    """List the jobs: how often each runs, how long it may take, when it last succeeded."""
    from bangeod.jobs.registry import DECLARATIONS  # noqa: PLC0415 - a run beside a daemon imports no job
    from bangeod.service.state.history import STATE_FILE, History  # noqa: PLC0415 - as above

    settings = load_settings(config)
    history = History(settings.state.directory / STATE_FILE)
    history.load(look_only=True)
    rows = []
    for job_id, declared in DECLARATIONS.items():
        own = getattr(settings.jobs, job_id)
        last = history.last_success(job_id)
        rows.append(
            {
                "id": str(job_id),
                "enabled": own.enabled,
                "interval": duration_text(own.interval),
                "timeout": duration_text(own.timeout),
                "last_success": None if last is None else to_text(last),
                "description": declared.description,
            }
        )
    if as_json:
        click.echo(json_output.as_json(rows))
        return
    shown = [
        [
            row["id"],
            row["interval"] if row["enabled"] else "off",
            row["last_success"] or ("-" if declared.keeps_record else "not kept"),
            row["description"],
        ]
        for row, declared in zip(rows, DECLARATIONS.values(), strict=True)
    ]
    click.echo(table(["JOB", "EVERY", "LAST SUCCESS", "WHAT IT DOES"], shown))


@job.command("run")
@click.argument("job_id", metavar="ID")
@click.option("--dry-run", is_flag=True, help="Change nothing; say what would be done.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@config_option
def run_job(job_id: str, dry_run: bool, as_json: bool, config: str | None) -> None:
    """Run the job ID once, now, and print its report; the running daemon does it, where there is one."""
    if job_id not in list(JobId):
        raise UsageError(f"there is no job {job_id!r}: the jobs are {', '.join(JobId)}")
    settings = load_settings(config)
    told = through_daemon(settings, lambda client: client.run_job(job_id, dry_run=dry_run))
    if told is None:
        from bangeod.cli.job_here import run  # noqa: PLC0415 - beside a daemon nothing of it is imported

        report = run(settings, JobId(job_id), dry_run=dry_run)
    else:
        report = msgspec.convert(told, JobReport)
    click.echo(json_output.as_json(report) if as_json else _as_text(report))
    sys.exit(0 if report.problem is None else 1)


def _as_text(report: JobReport) -> str:
    figures = ", ".join(f"{name} {value}" for name, value in report.figures.items())
    head = f"{report.job_id}: {report.outcome}{' (dry run)' if report.dry else ''} in {report.duration:.2f} s"
    return ": ".join(filter(None, (head, figures or report.problem)))
