"""Opening a database read-only so that nothing is left behind: no file, no lasting lock.

SQLite makes ``-wal`` and ``-shm`` for anyone who opens a database in WAL mode, readers too, and a reader can't
remove them again. So if nobody has the file open it is opened as immutable, which makes no files.
"""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from bangeod.store import symlinks
from bangeod.store.sqlite import faults, queries
from bangeod.store.sqlite.engine import engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from sqlite3 import Connection

WITH_OTHERS: Final = "mode=ro"
ALONE: Final = "mode=ro&immutable=1"

# Extended result codes: repairs that a read-only connection leaves to the next one that may write.
NEEDS_A_WRITER: Final = frozenset({264, 520, 776})  # READONLY_RECOVERY, READONLY_CANTINIT, READONLY_ROLLBACK


def manner(path: Path) -> str:
    """Return the URI parameters with which the database can be opened so that no file is made.

    This opens the file without locks and closes it, which drops all locks of this process on it: nothing else in the
    process may be reading or writing the database meanwhile.
    """
    return WITH_OTHERS if is_open_somewhere(path) or not _is_in_wal_mode(path) else ALONE


def is_open_somewhere(path: Path) -> bool:
    """Say whether the files that an open database in WAL mode has exist, or can't be seen."""
    return any(not faults.is_missing(symlinks.beside(path, suffix)) for suffix in ("-wal", "-shm"))


def _is_in_wal_mode(path: Path) -> bool:
    """Find out without making a file: in WAL mode SQLite can't open a database without locks."""
    try:
        with opened(path, "mode=ro&nolock=1", 0) as connection:
            connection.execute(queries.SCHEMA_VERSION).fetchall()
    except engine.DatabaseError as error:  # without locks a database that is being written to may look damaged
        return getattr(error, "sqlite_errorcode", 0) == faults.CANTOPEN and not faults.is_missing(path)
    return False


@contextlib.contextmanager
def opened(path: Path, parameters: str, busy_timeout: float) -> "Iterator[Connection]":
    """Open a connection with these URI parameters (sqlite.org/uri.html); the timeout is in seconds."""
    uri = f"file:{quote(str(path))}?{parameters}"
    with contextlib.closing(engine.connect(uri, uri=True, timeout=busy_timeout, isolation_level=None)) as connection:
        yield connection
