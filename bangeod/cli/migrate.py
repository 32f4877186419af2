"""``bangeod migrate``: copies both tables from the file of SQLite's to a PostgreSQL server."""

import asyncio
import contextlib
import os
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click

from bangeod.cli import json_output, migration_report, server_url
from bangeod.cli.options import config_option, load_settings
from bangeod.clock import SystemClock
from bangeod.errors import BangeodError, UsageError
from bangeod.service.log import setup
from bangeod.store.migration import migration
from bangeod.store.migration.migration import Plan, Progress
from bangeod.store.migration.report import Report
from bangeod.store.migration.source import Source
from bangeod.store.migration.target import Server

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar


@click.command()
@click.option("--to", "to", metavar="URL", required=True, help="The database of a PostgreSQL server to copy to.")
@click.option("--schema", metavar="NAME", help="The schema of its tables, where the role's search_path has another.")
@click.option("--dry-run", is_flag=True, help="Change nothing; say what would be copied.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def migrate(*, to: str, schema: str | None, dry_run: bool, as_json: bool, config: str | None) -> None:
    """Copy geo_cache and sessions from the config's SQLite file to a PostgreSQL server.

    The tables have to be there: the web app's own migration makes them. Web app and daemon may
    run meanwhile. Run it again to take up what has changed since, or to go on after a failure:
    what is newer on the server stays. In the end both sides are compared.
    """
    url = server_url.read("--to", to)
    settings = load_settings(config)
    file = settings.database.path
    if file is None:
        raise UsageError(
            "the config names no file to copy from, but a url: --config FILE can name one with [database] path"
        )
    setup.configure("warning", "console" if settings.log.format == "auto" else settings.log.format, environ=os.environ)
    clock, patience = SystemClock(), settings.database.busy_timeout
    source = Source(file, busy_timeout=patience, clock=clock)
    sides = source, Server(url.conninfo(), clock, schema=schema, lock_timeout=patience)
    with Bars() as bars:
        try:
            report = asyncio.run(_migrate(sides, Plan(settings.state.directory, is_dry=dry_run), bars))
        except (BangeodError, KeyboardInterrupt):
            bars.close()
            click.echo(migration_report.so_far(bars.progress, dry_run=dry_run), err=True, nl=False)
            raise
    click.echo(json_output.as_json(report) if as_json else "\n".join(migration_report.lines(report)))
    if not report.verified and not report.dry_run:
        click.get_current_context().exit(1)


async def _migrate(sides: tuple[Source, Server], plan: Plan, bars: "Bars") -> Report:
    source, server = sides
    try:
        return await migration.migrate(source, server, plan, SystemClock(), bars.show)
    finally:
        await server.close()
        await source.close()


class Bars:
    """A bar for each step and table, on a terminal; else nothing is shown. Knows how far it came."""

    def __init__(self) -> None:
        self.progress = Progress()
        self._bar: ProgressBar[int] | None = None
        self._shown: tuple[str, str] | None = None
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def show(self, progress: Progress) -> None:
        self.progress = progress
        if not sys.stderr.isatty():
            return
        if self._shown != (progress.step, progress.table):
            self.close()
            label = f"{progress.step} {progress.table}"
            self._bar = self._open.enter_context(
                click.progressbar(length=max(progress.total, 1), label=f"{label:19}", file=sys.stderr)
            )
            self._shown = progress.step, progress.table
        if self._bar is not None:
            self._bar.update(progress.done - self._bar.pos)

    def close(self) -> None:
        self._bar = None
        self._open.close()
