"""BanGUI's two tables, to make a database without BanGUI. Tables that the web app made are never altered."""

import contextlib
import os
from pathlib import Path

from bangeod.errors import StoreError
from bangeod.store.sqlite.engine import engine

GEO_CACHE = """\
CREATE TABLE geo_cache (
    ip TEXT PRIMARY KEY,
    country_code TEXT,
    country_name TEXT,
    asn TEXT,
    org TEXT,
    cached_at TEXT,
    last_seen TEXT
)"""

SESSIONS = """\
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    token TEXT UNIQUE,
    created_at TEXT,
    expires_at TEXT
)"""


def create(path: Path) -> None:
    """Make an empty database with both tables, in WAL mode; no file may be there yet.

    Raises StoreError, and then leaves nothing behind.
    """
    try:
        # Created here, so that an existing file is refused and other users can't read it; SQLite would use 0644.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o660))
    except FileExistsError:
        advice = "move it away, or choose another path"
        raise StoreError(str(path), "there is a file already", advice) from None
    except OSError as error:
        problem = f"the database can't be made ({error.strerror})"
        raise StoreError(str(path), problem, "choose a directory that this user may write to") from None
    try:
        _fill(path)
    except BaseException as error:
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        if isinstance(error, engine.Error):
            problem = f"the database can't be made ({error})"
            advice = "look for room on the device, and for a file system that locks and maps files"
            raise StoreError(str(path), problem, advice) from None
        raise


def _fill(path: Path) -> None:
    with contextlib.closing(engine.connect(path, isolation_level=None)) as connection:
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise engine.OperationalError(f"WAL mode is refused, it stays {mode}")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(GEO_CACHE)
        connection.execute(SESSIONS)
        connection.execute("COMMIT")
