"""The SQLite library of this process, chosen once: the first without the WAL-reset bug, else Python's own.

Everything in bangeod and its tests that opens a database takes ``engine`` from here. Two SQLite libraries on
one file in one process undo each other's locks (POSIX drops a process's locks when any of its descriptors is
closed), and rows that other processes have committed are lost.
"""

import contextlib
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Final

__all__ = ["IS_SAFE", "NAME", "engine", "has_wal_reset_fix", "own_version"]

# sqlite.org/wal.html: fixed in 3.51.3, and in these older lines since the release named.
_FIXED = (3, 51, 3)
_FIXED_LINES = ((3, 50, 7), (3, 44, 6))


def has_wal_reset_fix(version: tuple[int, int, int]) -> bool:
    """Say whether this SQLite version is free of the bug that corrupts a WAL that two connections reset at once."""
    in_fixed_line = any(fixed <= version < (*fixed[:2], 1_000) for fixed in _FIXED_LINES)
    return version >= _FIXED or in_fixed_line


def _libraries() -> Iterator[ModuleType]:
    """Import one library after the other, in the order in which they are wanted.

    pyproject.toml asks for the first two where they have wheels, each with a SQLite of its own. Built from source they
    have the system's. sqlcipher3 is pysqlite3 by the same author with SQLCipher's SQLite, which treats a file as SQLite
    does unless it is given a key; it takes 4 MB more memory, most of it pages of its file.
    """
    with contextlib.suppress(ImportError):
        from pysqlite3 import dbapi2  # noqa: PLC0415 - there may be none

        yield dbapi2
    with contextlib.suppress(ImportError):
        from sqlcipher3 import dbapi2  # noqa: PLC0415 - as above

        yield dbapi2
    import sqlite3  # noqa: PLC0415 - a library that is of no use takes memory all the same

    yield sqlite3


def _choose() -> ModuleType:
    for library in _libraries():
        if has_wal_reset_fix(library.sqlite_version_info):
            break
    return library


if TYPE_CHECKING:
    import sqlite3 as engine  # the others ship no types and have the same interface
else:
    engine = _choose()

NAME: Final = engine.__name__.partition(".")[0]
IS_SAFE: Final = has_wal_reset_fix(engine.sqlite_version_info)


def own_version() -> tuple[int, int, int]:
    """Return the version of Python's own SQLite: the system's, where Python is the distribution's."""
    import sqlite3  # noqa: PLC0415 - as above

    return sqlite3.sqlite_version_info
