"""``bangeod top``: where most addresses come from, or most of those that are banned, as a short chart."""

import math
import os
import re
import sys
from typing import Final, cast

import click
import msgspec

from bangeod.api.messages import LONGEST_SINCE, MOST_GROUPS, Top, TopQuery
from bangeod.cli import json_output, top_screen
from bangeod.cli.daemon_client import through_daemon
from bangeod.cli.options import config_option, load_settings
from bangeod.cli.tables import printable
from bangeod.client.command_client import CommandClient
from bangeod.config.values import UnfitValueError, duration
from bangeod.errors import RefusedError, UsageError

LINES: Final = 20  # of a chart, where nothing else is asked for
_NUMBER: Final = re.compile("[0-9]{1,12}")  # of seconds
_NOT_FOUND: Final = 404  # HTTP


@click.command()
@click.argument("by", type=click.Choice(["countries", "networks", "hosts"]), default="countries")
@click.option("--banned", is_flag=True, help="Count what fail2ban bans now: in a fleet, on all hosts.")
@click.option("--here", is_flag=True, help="Count what this host bans, in a fleet as well.")
@click.option("--since", metavar="TIME", help="Only what was seen, or banned, within this time: 30d, 12h.")
@click.option("--limit", metavar="N", type=click.IntRange(1, MOST_GROUPS), help="Show N lines.  [default: 20]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def top(
    *, by: str, banned: bool, here: bool, since: str | None, limit: int | None, as_json: bool, config: str | None
) -> None:
    """Show where most addresses come from: by country, or by network; or which hosts of a fleet ban the most.

    Counted are the addresses that the table geo_cache has, or with --banned those that fail2ban
    bans now. With --since the former count by when they were last seen, which is noted once a day.
    """
    if here and (by == "hosts" or not banned):
        raise UsageError("--here says whose bans count: it goes with --banned, of countries or networks")
    seconds = 0 if since is None else _seconds(since)
    settings = load_settings(config)
    most = limit or (MOST_GROUPS if as_json else LINES)
    asked = msgspec.convert({"by": by, "banned": banned, "here": here, "since": seconds, "limit": most}, TopQuery)
    counted = through_daemon(settings, lambda client: _told(client, asked))
    if counted is None:
        from bangeod.cli.top_here import count  # noqa: PLC0415 - beside a daemon nothing of it is imported

        counted = count(settings, asked)
    if as_json:
        click.echo(json_output.as_json(counted))
        return
    for note in counted.notes:
        click.echo(f"note: {printable(note)}", err=True)
    click.echo(_as_text(counted))


def _seconds(text: str) -> int:
    """Read a time span as the config has them, in whole seconds. Raises UsageError."""
    try:
        seconds = duration(1, LONGEST_SINCE).read(int(text) if _NUMBER.fullmatch(text) else text)
    except UnfitValueError as error:
        raise UsageError(f"--since: {error}") from None
    return math.ceil(cast("float", seconds))


def _told(client: CommandClient, asked: TopQuery) -> Top:
    """Return the daemon's answer; one of another version may know no such question, or give another answer."""
    try:
        told = client.top(asked.by, banned=asked.banned, since=asked.since, limit=asked.limit, here=asked.here)
        return msgspec.convert(told, Top)
    except RefusedError as error:
        if error.status == _NOT_FOUND:
            raise _of_another_version("it does not count") from None
        raise
    except msgspec.ValidationError as error:
        raise _of_another_version(error) from None


def _of_another_version(why: object) -> RefusedError:
    return RefusedError(f"the daemon is of another version than this command ({why}): restart it")


def _as_text(counted: Top) -> str:
    if not sys.stdout.isatty():
        return "\n".join(line.text for line in top_screen.lines(counted))
    from shutil import get_terminal_size  # noqa: PLC0415 - it brings along what reads archives

    chart = top_screen.Chart(get_terminal_size().columns, top_screen.ticks_for(sys.stdout.encoding))
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return "\n".join(
        f"{line.text}{line.bar if plain or not line.bar else click.style(line.bar, fg='cyan')}"
        for line in top_screen.lines(counted, chart)
    )
