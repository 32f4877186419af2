"""``bangeod --version``: the version, and below it what it runs on: Python, SQLite with its library, and systemd."""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from bangeod import __version__
from bangeod.cli.failures import tell
from bangeod.errors import OutputError

BOOTED: Final = Path("/run/systemd/system")  # there where systemd is the init of this machine (sd_booted(3))
# systemd's own library, which only its programs use, has the version in its name; to ask systemd would take longer than
# all the rest.
_PREFIX: Final = "libsystemd-shared-"
_SUFFIX: Final = ".so"


def main() -> None:
    """Print it; click, which other commands need, takes longer to import than this to run."""
    try:
        sys.stdout.write(text())
        sys.stdout.flush()
    except OutputError as error:
        tell(error)
        sys.exit(error.exit_status)


def text() -> str:
    """Return the lines that are printed."""
    python = sys.version.partition(" ")[0]
    return (
        f"bangeod, version {__version__}\n"
        f"Python {python} ({sys.implementation.name}, {os.uname().machine}, {_bits()} bits)\n"
        f"{_sqlite()}\n"
        f"{systemd(BOOTED, _libraries())}\n"
    )


def _bits() -> int:
    return sys.maxsize.bit_length() + 1


def _sqlite() -> str:
    try:
        from bangeod.store.sqlite.engine import IS_SAFE, NAME, engine  # noqa: PLC0415 - see the next line
    except ImportError as error:  # a Python that was built without SQLite
        return f"no SQLite ({error})"
    bug = "" if IS_SAFE else "; it has the WAL-reset bug: see bangeod check"
    return f"SQLite {engine.sqlite_version} ({NAME}{bug})"


def systemd(booted: Path, libraries: Iterable[Path]) -> str:
    """Return the line about systemd; ``libraries`` are directories in which its own library may be."""
    if not booted.is_dir():
        return "no systemd"
    found = [version for directory in libraries for version in _versions(directory)]
    return f"systemd {max(found, key=_number)}" if found else "systemd of an unknown version"


def _libraries() -> Sequence[Path]:
    triplet = getattr(sys.implementation, "_multiarch", "")  # x86_64-linux-gnu
    return [Path("/usr/lib", triplet, "systemd"), Path("/usr/lib/systemd"), Path("/usr/lib64/systemd")]


def _versions(directory: Path) -> Iterable[str]:
    """Return the versions in the names of the libraries: ``252``, or with the package's, ``257.13-1.fc42``."""
    try:
        names = os.listdir(directory)  # noqa: PTH208 - names are all that is wanted
    except OSError:
        return []
    return [name[len(_PREFIX) : -len(_SUFFIX)] for name in names if name.startswith(_PREFIX) and name.endswith(_SUFFIX)]


def _number(version: str) -> int:
    digits = version.partition(".")[0]
    return int(digits) if digits.isdecimal() else 0
