"""The findings of ``bangeod check``: one for each thing it looked at."""

import shlex
from enum import StrEnum
from pathlib import Path

import msgspec


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"  # the daemon works, but not as well as it should
    FAULT = "fault"  # something does not work until this is mended


class Finding(msgspec.Struct, frozen=True):
    """One line of the report. ``where`` is a path or a key; ``mend`` is empty if nothing is wrong."""

    level: Level
    subject: str
    where: str
    problem: str
    mend: str = ""


def ok(subject: str, where: object, text: str) -> Finding:
    """Report that a thing was looked at and is as it should be."""
    return Finding(Level.OK, subject, str(where), text)


def warning(subject: str, where: object, problem: str, mend: str) -> Finding:
    return Finding(Level.WARNING, subject, str(where), problem, mend)


def fault(subject: str, where: object, problem: str, mend: str) -> Finding:
    return Finding(Level.FAULT, subject, str(where), problem, mend)


def quoted(path: Path) -> str:
    """Quote a path for pasting into a shell."""
    return shlex.quote(str(path))
