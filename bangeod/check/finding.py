"""What ``bangeod check`` says of one thing it looked at."""

import shlex
from enum import StrEnum
from pathlib import Path

import msgspec


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"  # the daemon works with it, but not as one would wish
    FAULT = "fault"  # something does not work until it is mended


class Finding(msgspec.Struct, frozen=True):
    """One line of the report. ``where`` is a path or a key; ``mend`` is empty where nothing is wrong."""

    level: Level
    subject: str
    where: str
    problem: str
    mend: str = ""


def ok(subject: str, where: object, text: str) -> Finding:
    """Say that a thing was looked at and is as it should be."""
    return Finding(Level.OK, subject, str(where), text)


def warning(subject: str, where: object, problem: str, mend: str) -> Finding:
    """Say what is not as one would wish."""
    return Finding(Level.WARNING, subject, str(where), problem, mend)


def fault(subject: str, where: object, problem: str, mend: str) -> Finding:
    """Say what does not work."""
    return Finding(Level.FAULT, subject, str(where), problem, mend)


def quoted(path: Path) -> str:
    """Write a path so that it can be pasted into a shell."""
    return shlex.quote(str(path))
