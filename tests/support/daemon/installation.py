"""A directory with all that one bangeod works on: config, database, state; and the web app's hand in the database."""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from bangeod.cldr import NAMES
from bangeod.jobs.job import JobId
from bangeod.model import DirtyEntry, Geo
from bangeod.service.state import unwritten_file
from bangeod.service.state.history import STATE_FILE, History
from bangeod.store.sqlite import schema
from bangeod.store.sqlite.engine import engine

if TYPE_CHECKING:
    from sqlite3 import Connection

JOBS = tuple(str(job) for job in JobId)

# The jobs have their defaults: within seconds of a start none of them runs.
QUIET: Mapping[str, object] = {
    "database.busy_timeout": "200ms",
    "log.level": "debug",
    "log.format": "json",
    "api.enabled": False,
}


def every(interval: str, *jobs: str) -> dict[str, object]:
    """Return the settings by which these jobs, or all, run at such an interval."""
    return {f"jobs.{job}.interval": interval for job in jobs or JOBS}


def as_toml(settings: Mapping[str, object]) -> str:
    """Write settings that are given by dotted keys."""
    document: dict[str, Any] = {}
    for dotted, value in settings.items():
        *tables, key = dotted.split(".")
        table = document
        for name in tables:
            table = table.setdefault(name, {})
        table[key] = value
    return tomli_w.dumps(document)


class Installation:
    """Config, database and state in one directory. The config is QUIET and what ``configure`` was told."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.config = home / "bangeod.toml"
        self.database = home / "bangui.db"
        self.state = home / "state"
        self.unwritten = self.state / "unwritten.json"
        self.history = self.state / STATE_FILE
        self.socket = home / "bangeod.sock"
        self._settings: dict[str, object] = {
            **QUIET,
            "database.path": str(self.database),
            "state.directory": str(self.state),
            "api.socket": str(self.socket),
        }

    def make(self) -> None:
        """Make directory, database and config."""
        self.state.mkdir(parents=True)
        schema.create(self.database)
        self.configure()

    def configure(self, *changes: Mapping[str, object]) -> None:
        """Change settings, by dotted keys, and write the config."""
        for change in changes:
            self._settings |= change
        self.config.write_text(as_toml(self._settings))

    @property
    def settings(self) -> dict[str, object]:
        """Return the settings that the config has, by dotted keys."""
        return dict(self._settings)

    def leave_unwritten(self, *ips: str, country: str = "SE") -> None:
        """Leave entries as an earlier daemon does that could not write them at its stop."""
        now = int(time.time())
        unwritten_file.save(self.unwritten, [DirtyEntry(ip, Geo(country), now, now) for ip in ips])

    def ran(self, job: str, ago: timedelta) -> None:
        """Note a job's last success, as a daemon that ran before would have done."""
        history = History(self.history)
        history.load()
        history.succeeded(job, time.time() - ago.total_seconds())
        history.save_now()

    def settle_names(self) -> None:
        """Note what every country is called, as a daemon that wrote all of them before would have done."""
        history = History(self.history)
        history.load()
        asyncio.run(history.keep_names(NAMES))

    # --- the web app's hand ---

    @contextmanager
    def connection(self) -> Iterator["Connection"]:
        """Open the database as the web app does."""
        with closing(engine.connect(self.database, timeout=30, isolation_level=None)) as connection:
            yield connection

    def execute(self, statement: str, parameters: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement."""
        with self.connection() as connection:
            return connection.execute(statement, tuple(parameters)).fetchall()

    def insert(self, rows: Iterable["GeoRow"] = (), sessions: Iterable["Session"] = ()) -> None:
        """Put rows into the tables, in one transaction."""
        statements = (
            ("INSERT INTO geo_cache (ip, country_code, last_seen) VALUES (?, ?, ?)", iter(rows)),
            ("INSERT INTO sessions (token, expires_at) VALUES (?, ?)", iter(sessions)),
        )
        with self.connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement, values in statements:
                for row in values:
                    connection.execute(statement, row)
            connection.execute("COMMIT")

    def countries(self) -> dict[str, str | None]:
        """Return the country of each row, by its key."""
        return dict(self.execute("SELECT ip, country_code FROM geo_cache"))

    def tokens(self) -> set[str]:
        """Return the sessions that are there."""
        return {token for (token,) in self.execute("SELECT token FROM sessions")}

    def remove_database(self) -> None:
        """Remove the database with its log: a new file under an old log would be taken for a damaged one."""
        for suffix in ("", "-wal", "-shm"):
            self.database.with_name(self.database.name + suffix).unlink(missing_ok=True)

    def restore(self, backup: "Installation") -> None:
        """Put another database in the place of this one, as one restores a backup while nothing is stopped."""
        self.remove_database()
        backup.database.rename(self.database)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the write lock."""
        with self.connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            finally:
                with contextlib.suppress(engine.Error):  # the file is no longer what it was
                    connection.execute("ROLLBACK")

    def contents(self) -> dict[str, object]:
        """Return all that a dry run must not change: the database's contents, and each file of the state directory."""
        with self.connection() as connection:
            tables = {
                name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in ("geo_cache", "sessions")
            }
        files = {
            path.name: (path.read_bytes(), path.stat().st_ino, path.stat().st_mtime_ns) for path in self.state.iterdir()
        }
        return {**tables, **files}


GeoRow = tuple[object, object, object]  # ip, country_code, last_seen
Session = tuple[str, object]  # token, expires_at


def text(when: timedelta = timedelta(0)) -> str:
    """Return the time from now by ``when``, as the web app writes it."""
    return (datetime.now(UTC) + when).isoformat()


def make_fail2ban(path: Path, *banned: str) -> Path:
    """Make fail2ban's database, with these addresses banned for good."""
    with closing(engine.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE bips (ip TEXT, jail TEXT, timeofban INTEGER, bantime INTEGER)")
        connection.executemany("INSERT INTO bips VALUES (?, 'sshd', 1700000000, -1)", [(ip,) for ip in banned])
    return path
