"""``bangeod status``: shows the state of the running daemon on one screen."""

import sys
import time
from typing import Any, Final

import click
import msgspec

from bangeod.api import status_document
from bangeod.cli import json_output, status_screen
from bangeod.cli.daemon_client import from_daemon
from bangeod.cli.options import config_option, load_settings
from bangeod.config import Settings
from bangeod.errors import NoDaemonError, RefusedError

EVERY: Final = 2.0  # seconds between two updates with --watch
_CLEAR: Final = "\x1b[H\x1b[2J"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--watch", is_flag=True, help="Look again every 2 seconds, until Ctrl-C.")
@config_option
def status(as_json: bool, watch: bool, config: str | None) -> None:
    """Show how the running daemon stands: jobs, cache, sources, database.

    The exit status is 69 where no daemon answers.
    """
    settings = load_settings(config)
    shown = _shown(settings, as_json=as_json)
    if not watch:
        click.echo(shown)
        return
    try:
        _watch(settings, shown, as_json=as_json)
    except KeyboardInterrupt:
        return


def _watch(settings: Settings, shown: str, *, as_json: bool) -> None:
    """Show the state again and again; restarts of the daemon don't end it."""
    clear = _CLEAR if sys.stdout.isatty() and not as_json else ""
    while True:
        click.echo(f"{clear}{shown}")
        sys.stdout.flush()
        time.sleep(EVERY)
        try:
            shown = _shown(settings, as_json=as_json)
        except NoDaemonError as error:
            shown = json_output.as_json({"problem": str(error)}) if as_json else str(error)


def _shown(settings: Settings, *, as_json: bool) -> str:
    found = _ask(settings)
    if as_json:
        return json_output.as_json(found)
    try:
        state = status_document.read(found)
    except msgspec.ValidationError as error:
        raise RefusedError(f"the daemon is of another version than this command ({error}): restart it") from None
    width = _width() if sys.stdout.isatty() else None
    return "\n".join(click.style(line.text[:width], fg=line.colour) for line in status_screen.lines(state))


def _width() -> int:
    from shutil import get_terminal_size  # noqa: PLC0415 - it brings along what reads archives

    return get_terminal_size().columns


def _ask(settings: Settings) -> dict[str, Any]:
    if not settings.api.enabled:
        raise NoDaemonError("the local API is off: set [api] enabled = true, and systemctl reload bangeod")
    try:
        return from_daemon(settings, lambda client: client.status())
    except NoDaemonError as error:
        raise NoDaemonError(f"{error}; its log: journalctl -u bangeod") from error
