"""``bangeod geodb``: downloads geo databases from their providers."""

import asyncio
import contextlib
import os
import pwd
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self, TextIO

import click

from bangeod.check.identity import SERVICE_USER
from bangeod.cli.options import config_option
from bangeod.clock import SystemClock, to_text
from bangeod.config import Settings, find_file, load
from bangeod.errors import BangeodError, ConfigError, ConfigProblem, OutputError
from bangeod.geo.update.answers import UpdateError
from bangeod.geo.update.download import Credentials, make_client
from bangeod.geo.update.install import Owner
from bangeod.geo.update.releases import SOURCES, Database
from bangeod.geo.update.updater import Update, Updater
from bangeod.service.active_sources import mmdb_paths
from bangeod.service.log import setup

BASE = ""  # empty: the providers' own addresses


class UpdateFailedError(BangeodError):
    """One or more databases could not be downloaded; the others were."""


@click.group()
def geodb() -> None:
    """Fetch geo databases."""


@geodb.command()
@config_option
@click.option("--force", is_flag=True, help="Fetch also what has not changed since.")
def update(config: str | None, force: bool) -> None:
    """Fetch the geo databases that the config names, or newer ones of them.

    Which ones, [geo.update] source says; without it that is DB-IP's country database, for which
    nobody needs an account. They go to the state directory, and are used while [geo] mmdb is
    empty: a running daemon takes them up within a minute. What has not changed is not fetched
    again, and a file that is damaged does not take the place of a good one.

    The proxies that the environment names (https_proxy, no_proxy) are heeded.
    """
    file = Path(find_file(config, os.environ))
    settings = load(file, os.environ)
    sources = [SOURCES[name] for name in settings.geo.update.source]
    credentials = _credentials(settings, file, sources)
    setup.configure("critical", "console", environ=os.environ)  # the errors say what goes wrong
    problems = asyncio.run(_update(settings, sources, credentials, force=force))
    _warn_of_disuse(settings, file, sources)
    if problems:
        raise UpdateFailedError("\n".join(problems))


def _credentials(settings: Settings, file: Path, sources: Sequence[Database]) -> Credentials | None:
    """Return the account; None if none is needed. Raises ConfigError with everything that is missing."""
    wanted = settings.geo.update
    needing = next((source for source in sources if source.provider.needs_account), None)
    if needing is None:
        return None
    findings = []
    if not wanted.account_id:
        expected = f"expected the number of an account at {needing.provider.name}, which {needing.name} needs"
        findings.append(ConfigProblem("geo.update.account_id", f"{expected}; found none"))
    if not wanted.license_key:
        expected = f"expected a licence key of that account at {needing.provider.name}"
        places = "here, in $BANGEOD_LICENSE_KEY or in the systemd credential license_key"
        findings.append(ConfigProblem("geo.update.license_key", f"{expected}, {places}; found none"))
    if findings:
        raise ConfigError(str(file), findings)
    return Credentials(wanted.account_id, wanted.license_key.reveal())


async def _update(
    settings: Settings, sources: Sequence[Database], credentials: Credentials | None, *, force: bool
) -> Sequence[str]:
    """Update one database after the other; returns the problems of those that could not be downloaded."""
    problems = []
    attributions = []
    async with make_client() as client:
        updater = Updater(
            settings.state.directory,
            client,
            SystemClock(),
            credentials=credentials,
            owner=_service_user(),
            force=force,
            base=BASE,
        )
        for source in sources:
            try:
                with Bar(source.name, sys.stderr) as bar:
                    outcome = await updater.update(source, bar.show)
                attributions.append(source.provider.attribution)
                click.echo(_as_text(outcome))
            except (UpdateError, OutputError) as error:  # the others are still downloaded
                problems.append(str(error))
    for attribution in dict.fromkeys(attributions):
        click.echo(attribution)
    return problems


def _as_text(outcome: Update) -> str:
    found = outcome.findings
    what = f"{found.database_type} of {to_text(found.build_epoch)[:10]}, {found.records:,} distinct records"
    how = "is new" if outcome.is_new else "has not changed"
    return f"{outcome.path} {how}: {what}"


def _warn_of_disuse(settings: Settings, file: Path, sources: Sequence[Database]) -> None:
    fetched = {settings.state.directory / source.file_name for source in sources}
    unused = sorted(str(path) for path in fetched.difference(mmdb_paths(settings)))
    if unused:
        click.echo(
            f"warning: not used, as [geo] mmdb in {file} names other files: {', '.join(unused)}. "
            "Set mmdb = [], or name them there too",
            err=True,
        )


def _service_user() -> Owner | None:
    """Return the user for whom root makes the state directory."""
    with contextlib.suppress(KeyError):
        entry = pwd.getpwnam(SERVICE_USER)
        return Owner(entry.pw_uid, entry.pw_gid)
    return None


class Bar:
    """A progress bar on a terminal; on other streams it shows nothing."""

    def __init__(self, label: str, stream: TextIO) -> None:
        self._label = label
        self._stream = stream
        self._shown = contextlib.ExitStack()
        self._total: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.close()

    def show(self, done: int, total: int | None) -> None:
        """Show the progress in bytes; nothing if the total is not known."""
        if total is None or not self._stream.isatty():
            return
        if total != self._total:
            self._shown.close()
            self._bar = self._shown.enter_context(click.progressbar(length=total, label=self._label, file=self._stream))
            self._total = total
        self._bar.update(done - self._bar.pos)
