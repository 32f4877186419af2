"""Databases as the web app leaves them: made once, copied for each measurement."""

import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from bangeod.store.sqlite import schema
from bangeod.store.sqlite.engine import engine
from tests.benchmarks import samples

INSERT_GEO = "INSERT INTO geo_cache VALUES (?, ?, ?, ?, ?, ?, ?)"
INSERT_SESSION = "INSERT INTO sessions (token, created_at, expires_at) VALUES (?, ?, ?)"


def make(path: Path, ips: Sequence[str], now: int, *, stale: int = 50, sessions: int = 0, expired: int = 80) -> None:
    """Make a database with a row for each address, and sessions; in WAL mode, without an index on the times.

    ``stale`` and ``expired`` are percentages.
    """
    schema.create(path)
    with closing(engine.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -200000")
        connection.execute("BEGIN")
        connection.executemany(INSERT_GEO, samples.geo_rows(list(ips), now, stale=stale))
        connection.executemany(INSERT_SESSION, samples.session_rows(sessions, now, expired=expired))
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")
    settle(path)


def copy(template: Path, path: Path) -> Path:
    """Copy a database that nobody has open, and wait until it is on the disk."""
    shutil.copyfile(template, path)
    settle(path)
    return path


def settle(path: Path) -> None:
    """Wait until the disk has what was written, so that a measurement does not pay for what came before it.

    Nobody may have the database open: closing the descriptor would drop SQLite's locks.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def query(path: Path, statement: str, parameters: Iterable[Any] = ()) -> Any:
    """Return the first column of the first row."""
    with closing(engine.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement, tuple(parameters)).fetchone()[0]
