"""Checks of the SQLite that bangeod uses, and of the system's, which the web app may use: who has the WAL-reset bug.

The bug (sqlite.org/wal.html) strikes in the SQLite that checkpoints. bangeod works so that it can't strike through
bangeod, whatever SQLite either has (store/sqlite/checkpoint.py and starting_over.py); what the web app's processes do
among themselves is out of bangeod's reach.
"""

import platform
import shlex
import sys
from collections.abc import Iterator
from typing import Final

from bangeod.check.finding import Finding, ok, warning
from bangeod.store.sqlite.engine import IS_SAFE, NAME, engine, has_wal_reset_fix, own_version

SUBJECT: Final = "sqlite"
FIXED: Final = "3.51.3"
# The packages that bring a SQLite of their own, by the machine that they have wheels for: as in pyproject.toml.
PACKAGES: Final = {"x86_64": "pysqlite3>=0.6.1", "aarch64": "sqlcipher3>=0.6.4"}
FIRST_WITHOUT: Final = (3, 15)  # the first Python for which they have none

Version = tuple[int, int, int]


def examine() -> Iterator[Finding]:
    yield from judge(NAME, engine.sqlite_version, own_version(), is_safe=IS_SAFE, mend=_mend())


def judge(name: str, version: str, own: Version, *, is_safe: bool, mend: str) -> Iterator[Finding]:
    """Judge the library in use, and Python's own by its version ``own``; ``mend`` is how to get a better one."""
    if is_safe:
        yield ok(SUBJECT, name, f"SQLite {version}")
    else:
        problem = (
            f"SQLite {version} has the WAL-reset bug (sqlite.org/wal.html), by which two programs that write one "
            "database can damage it; bangeod takes care that it does not strike through bangeod, and empties the log "
            f"more often for it than with {FIXED}"
        )
        yield warning(SUBJECT, name, problem, mend)
    if is_safe and not has_wal_reset_fix(own):
        yield ok(
            SUBJECT,
            "sqlite3",
            f"Python's own SQLite is {'.'.join(map(str, own))}, with the WAL-reset bug; if the web app uses it, see "
            'the README, "Two SQLites on one database"',
        )


def _mend() -> str:
    return mend(platform.machine(), platform.python_implementation(), sys.version_info[:2], sys.maxsize > 2**32)


def mend(machine: str, implementation: str, python: tuple[int, int], is_64_bit: bool) -> str:
    """Say how to get a SQLite without the bug. Without a wheel pip would build one with the system's SQLite."""
    package = PACKAGES.get(machine)
    if package and implementation == "CPython" and python < FIRST_WITHOUT and is_64_bit:
        pip = f"{shlex.quote(sys.executable)} -m pip install --only-binary :all: {shlex.quote(package)}"
        return f"{pip}   # then restart bangeod"
    return (
        f"a Python with SQLite {FIXED} or newer (python3 -c 'import sqlite3; print(sqlite3.sqlite_version)'); no wheel "
        "of a package that brings one is known for this machine and this Python"
    )
