"""The SQLite library of this process, chosen once: pysqlite3's where it is installed, else Python's own.

Everything in bangeod and its tests that opens a database takes ``engine`` from here. Two SQLite libraries on
one file in one process undo each other's locks (POSIX drops a process's locks when any of its descriptors is
closed), and rows that other processes have committed are lost.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3 as engine  # pysqlite3 ships no types and has the same interface
else:
    try:
        from pysqlite3 import dbapi2 as engine
    except ImportError:  # its wheels are for x86-64 Linux only
        import sqlite3 as engine

__all__ = ["IS_SAFE", "engine", "has_wal_reset_fix"]

# sqlite.org/wal.html: fixed in 3.51.3, and in these older lines since the release named.
_FIXED = (3, 51, 3)
_FIXED_LINES = ((3, 50, 7), (3, 44, 6))


def has_wal_reset_fix(version: tuple[int, int, int]) -> bool:
    """Say whether this SQLite version is free of the bug that corrupts a WAL that two connections reset at once."""
    in_fixed_line = any(fixed <= version < (*fixed[:2], 1_000) for fixed in _FIXED_LINES)
    return version >= _FIXED or in_fixed_line


IS_SAFE = has_wal_reset_fix(engine.sqlite_version_info)
