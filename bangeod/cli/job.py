"""`bangeod job`: lists the jobs, or runs one by hand."""

import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import click
import msgspec

from bangeod.api.messages import JobReport
from bangeod.cli import json_output
from bangeod.cli.daemon_client import through_daemon
from bangeod.cli.options import config_option, load_settings
from bangeod.cli.tables import table
from bangeod.client.command_client import CommandClient
from bangeod.clock import to_text
from bangeod.config import Settings, duration_text
from bangeod.errors import BangeodError, UsageError
from bangeod.jobs.job import JobId

QUICKLY: Final = 2.0  # seconds for which a listing waits for the daemon


class _ToldJob(msgspec.Struct):
    """What a listing needs of a job in the daemon's status."""

    id: str
    last_success: str | None = None


class _Told(msgspec.Struct):
    """What a listing needs of the daemon's status."""

    jobs: list[_ToldJob]


@click.group()
def job() -> None:
    """List the jobs, or run one by hand."""


@job.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_jobs(config: str | None, as_json: bool) -> None:
    """List the jobs: how often each runs, how long it may take, when it last succeeded."""
    from bangeod.jobs.registry import DECLARATIONS  # noqa: PLC0415 - a run beside a daemon imports no job

    settings = load_settings(config)
    successes = _last_successes(settings)
    rows = []
    for job_id, declared in DECLARATIONS.items():
        own = getattr(settings.jobs, job_id)
        rows.append(
            {
                "id": str(job_id),
                "enabled": own.enabled,
                "interval": duration_text(own.interval),
                "timeout": duration_text(own.timeout),
                "last_success": successes.get(job_id) if declared.keeps_record else None,
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


def _last_successes(settings: Settings) -> Mapping[str, str]:
    """Return when each job last succeeded: what the state file says, and what a running daemon has not saved yet."""
    from bangeod.service.state.history import STATE_FILE, History  # noqa: PLC0415 - as above

    history = History(settings.state.directory / STATE_FILE)
    history.load(look_only=True)
    found = {str(job_id): to_text(at) for job_id in JobId if (at := history.last_success(job_id)) is not None}
    return {**found, **_told_by_daemon(settings)}


def _told_by_daemon(settings: Settings) -> Mapping[str, str]:
    """Return what a running daemon says of that; nothing where none answers, or not to this user."""
    if not settings.api.enabled:
        return {}
    with (
        suppress(BangeodError, msgspec.ValidationError),  # it may be a daemon of another version
        CommandClient(str(settings.api.socket), timeout=QUICKLY, strict=True) as client,
    ):
        told = msgspec.convert(client.status(), _Told)
        return {job.id: job.last_success for job in told.jobs if job.last_success is not None}
    return {}


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
