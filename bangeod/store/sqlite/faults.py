"""SQLite's errors translated into those of errors.py, with advice for the user."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from bangeod.errors import (
    SchemaError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreLockedError,
    StoreMissingError,
    StoreReadOnlyError,
    StoreRefusedError,
    StoreReplacedError,
)
from bangeod.os_errors import Obstacle, obstacle, reason
from bangeod.store import symlinks

# Primary result codes, from sqlite.org/rescode.html; the adapter's two engines number them alike.
ERROR: Final = 1
BUSY: Final = 5
LOCKED: Final = 6
READONLY: Final = 8
INTERRUPT: Final = 9
IOERR: Final = 10
CORRUPT: Final = 11
FULL: Final = 13
CANTOPEN: Final = 14
PROTOCOL: Final = 15
SCHEMA: Final = 17
TOOBIG: Final = 18
CONSTRAINT: Final = 19
MISMATCH: Final = 20
NOTADB: Final = 26

READONLY_DBMOVED: Final = 1032

# Errors that a compiled statement can raise because of a row, or of what a trigger does with it.
ABOUT_A_ROW: Final = frozenset({ERROR, TOOBIG, CONSTRAINT, MISMATCH})

FOREIGN_KEY_MISMATCH: Final = "foreign key mismatch"  # sqlite.org/foreignkeys.html, 3
ON_MISMATCH: Final = (
    "the columns that the first table refers to must be the other one's primary key or UNIQUE: "
    "let the web app's migration make a unique index on them, or correct the foreign key"
)

SIZE_OF_SHM: Final = 32_768  # bytes that the -shm has at least (sqlite.org/walformat.html, 2.1)

_PLAIN: Final[dict[int, tuple[type[StoreError], str, str]]] = {
    BUSY: (StoreLockedError, "the database is locked", "tried again at the next run"),
    LOCKED: (StoreLockedError, "the database is locked", "tried again at the next run"),
    FULL: (StoreFullError, "the disk is full", "make room; what is not written yet is kept until then"),
    CORRUPT: (StoreDamagedError, "is no intact SQLite database ({text})", "restore it from a backup"),
    NOTADB: (StoreDamagedError, "is no SQLite database", "set [database] path to the web app's database"),
    IOERR: (StoreError, "reading or writing failed ({text})", "look at the disk: dmesg, df, mount"),
    CONSTRAINT: (
        StoreRefusedError,
        "the database refused a row ({text})",
        "look at its triggers and constraints; what is not written yet is kept",
    ),
}


def missing(path: Path) -> StoreMissingError:
    """Return the error for a path without a file; it names where a symbolic link leads."""
    problem, advice = "there is no such database", "start the web app once so that it makes it"
    way = symlinks.route(path)
    if way.links:
        nowhere = f"{_named(way)} to {way.end}, and nothing is there"
        where = f"symbolic links lead in a circle, from {way.links[0]} on" if way.is_circle else nowhere
        problem, advice = f"{problem}: {where}", "put it there, or let the link lead to where it is"
    return StoreMissingError(str(path), problem, f"{advice}, or set [database] path to where it is")


def replaced(path: Path) -> StoreReplacedError:
    """Return the error for a path at which another file has appeared since it was opened."""
    return StoreReplacedError(
        str(path),
        "the file was deleted or replaced while it was in use",
        "nothing was written to the old one; the next run works on the file that is there then",
    )


def wal_of_another(path: Path) -> StoreReplacedError:
    """Return the error for a WAL of the previous database that would get into the one that is there now."""
    return StoreReplacedError(
        str(path),
        "the file was deleted or replaced, and another program still uses the old one's log (-wal) beside it",
        "the new one is opened once that log is out of use; if it stays, restart the web app",
    )


def locked(path: Path, seconds: float) -> StoreLockedError:
    return StoreLockedError(
        str(path),
        f"another process has held the database locked for over {seconds:g} s",
        "tried again at the next run; if it stays, look for a program that keeps a transaction open",
    )


def schema(path: Path, problem: str) -> SchemaError:
    return SchemaError(
        str(path),
        problem,
        "start the web app once so that it makes or migrates its tables; looked at again at each run",
    )


def no_new_rows(path: Path, not_filled: Sequence[str], problem: str, ips: Collection[str]) -> StoreRefusedError:
    """Return the error for addresses that can't be given a row, because of columns or else a constraint."""
    if not_filled:
        what = f"table geo_cache takes no new row: {unfilled(not_filled)}"
    else:
        what = f"table geo_cache takes no row without a country ({problem})"
    advice = "see `bangeod check`; the rows that there are are kept up to date"
    return StoreRefusedError(str(path), what, advice, ips=ips)


def spared(path: Path, ips: Collection[str]) -> StoreRefusedError:
    """Return the error for rows that a trigger silently neither inserts nor changes: RAISE(IGNORE)."""
    problem = "a trigger of the database's keeps rows of geo_cache as they are, without an error"
    return StoreRefusedError(str(path), problem, "look at the triggers of this table", ips=ips)


def unfilled(columns: Sequence[str]) -> str:
    """Describe columns that need a value which bangeod does not have."""
    names = " and ".join(columns)
    return f"{names} {'is NOT NULL and has' if len(columns) == 1 else 'are NOT NULL and have'} no default"


def unpageable(path: Path, table: str) -> StoreError:
    """Return the error for a table that can't be paged, because its keys are not valid text."""
    return StoreError(
        str(path),
        f"table {table} has no rowid, and a key in it is not UTF-8",
        f"find the row with SELECT quote(CAST(ip AS BLOB)) FROM {table} and delete it",  # noqa: S608 - for a person to type
    )


def unreadable(path: Path, error: OSError) -> StoreError:
    """Return the error for a path that can't even be stat()ed."""
    return StoreReadOnlyError(str(path), f"can't be reached: {reason(error)}", _permission_advice(path))


def is_missing(path: Path) -> bool:
    """Say whether nothing is at the path (its links may lead nowhere); False where a closed directory hides it."""
    try:
        path.stat()
    except OSError as error:
        return obstacle(error) in (Obstacle.MISSING, Obstacle.LINKS)
    return False


def is_full(path: Path) -> bool:
    """Say whether the disk has no room for the files that SQLite makes beside the database."""
    try:
        room = os.statvfs(symlinks.real(path).parent)
    except OSError:
        return False
    return room.f_blocks > 0 and room.f_bavail * room.f_frsize < SIZE_OF_SHM


def code(error: Exception) -> int:
    """Return the result code of a SQLite error, extended or not; 0 where it has none."""
    return getattr(error, "sqlite_errorcode", None) or 0


def translate(path: Path, code: int, text: str) -> StoreError:
    """Return the error for a SQLite result code (extended or not)."""
    where = str(path)
    primary = code & 0xFF
    if code == READONLY_DBMOVED:
        return replaced(path)
    if primary == CANTOPEN and is_missing(path):
        return missing(path)
    if primary == ERROR and text.startswith(("no such table", "no such column", "ON CONFLICT clause")):
        return schema(path, text)
    if primary == ERROR and text.startswith(FOREIGN_KEY_MISMATCH):
        return SchemaError(where, text, ON_MISMATCH)
    if primary in (READONLY, CANTOPEN):
        problem = "the database can't be written" if primary == READONLY else "the database can't be opened"
        return StoreReadOnlyError(where, problem, _permission_advice(path))
    if primary == IOERR and is_full(path):  # SQLite does not say why it could not make the -shm
        primary = FULL
    kind, problem, advice = _PLAIN.get(primary, (StoreError, "{text}", "this is SQLite's own message"))
    return kind(where, problem.format(text=text), advice)


def _named(way: symlinks.LinkRoute) -> str:
    """Name the links of a route."""
    first, *others = way.links
    if not others:
        return f"the symbolic link {first} leads"
    return f"the symbolic links {', '.join(map(str, way.links[:-1]))} and {others[-1]} lead"


def _permission_advice(path: Path) -> str:
    return (
        f"user id {os.geteuid()} needs to read and write the file, its -wal and -shm, and the directory "
        f"{symlinks.real(path).parent}; `bangeod check` says which of them is wrong; where none is, the file system is "
        "read-only (dmesg, mount), or the unit's ReadWritePaths= lacks the directory"
    )
