"""``bangeod check``: reports what is wrong with config, database, permissions and geo databases, and how to mend it."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from bangeod.check import Finding, Level, checkup, unit
from bangeod.check.identity import choose, current
from bangeod.cli import json_output
from bangeod.cli.options import config_option
from bangeod.config import find_file, load
from bangeod.errors import ConfigError
from bangeod.service.log import setup

_MARKS: Final = {Level.OK: "ok", Level.WARNING: "warning", Level.FAULT: "FAULT"}
_COLOURS: Final = {Level.OK: "green", Level.WARNING: "yellow", Level.FAULT: "red"}
_MARK_WIDTH: Final = 9
_SUBJECT_WIDTH: Final = 13


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--user", metavar="NAME", help="Judge for this user.  [default: for root the service's, else you]")
def check(config: str | None, as_json: bool, user: str | None) -> None:
    """Look for all that is wrong: config, database, schema, permissions, geo databases, socket.

    Everything that is found is printed at once, with what mends it. Nothing is changed. The exit
    status is 0 where nothing is at fault (warnings aside), 1 where something is, and 78 where the
    config is bad.
    """
    # With --user, or without root, the question is about a user and not about the service.
    service = unit.ask() if user is None and current().uid == 0 else None
    who = choose(user, service.identity() if service else None)
    file = Path(find_file(config, os.environ)).absolute()
    setup.configure("critical", "console", environ=os.environ)  # the findings contain what the sources log
    status = 0
    try:
        settings = load(file, os.environ)
    except ConfigError as error:
        findings, status = _of_config(error), error.exit_status
    else:
        findings = checkup(settings, file, who, time.time(), service)
        status = int(any(finding.level is Level.FAULT for finding in findings))
    click.echo(json_output.as_json(findings) if as_json else _as_text(findings))
    raise click.exceptions.Exit(status)


def _of_config(error: ConfigError) -> list[Finding]:
    do = "correct it in" if os.path.lexists(error.file) else "write"
    advice = f"{do} {error.file}; bangeod.toml.example explains every key"
    return [Finding(Level.FAULT, "config", key or error.file, problem, advice) for key, problem in error.findings]


def _as_text(findings: Sequence[Finding]) -> str:
    lines = []
    for finding in findings:
        mark = click.style(_MARKS[finding.level].ljust(_MARK_WIDTH), fg=_COLOURS[finding.level])
        what = ": ".join(filter(None, (finding.where, finding.problem)))
        lines.append(f"{mark}{finding.subject.ljust(_SUBJECT_WIDTH)}{_printable(what)}")
        if finding.mend:
            lines.append(f"{' ' * _MARK_WIDTH}mend: {_printable(finding.mend)}")
    counts = {level: sum(finding.level is level for finding in findings) for level in Level}
    lines.append(f"{_count(counts[Level.FAULT], 'fault')}, {_count(counts[Level.WARNING], 'warning')}")
    return "\n".join(lines)


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def _printable(text: str) -> str:
    """Replace everything in a text that could move the cursor of a terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
