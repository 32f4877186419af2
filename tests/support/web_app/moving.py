"""A web app on its way from SQLite to a server: both databases, and the migration between them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bangeod.clock import SystemClock
from bangeod.store.migration import migration
from bangeod.store.migration.migration import Plan, Progress
from bangeod.store.migration.report import Report, TableReport
from bangeod.store.migration.source import Source
from bangeod.store.migration.target import Server
from bangeod.store.postgres.connection import Conninfo
from bangeod.store.sqlite import schema
from bangeod.store.sqlite.engine import engine
from tests.support.servers import postgres, postgres_tables
from tests.support.servers.postgres_tables import Tables

if TYPE_CHECKING:
    from sqlite3 import Connection

LATER = "2099-01-01T00:00:00Z"  # no session has expired before
LOCK_TIMEOUT = 0.5  # seconds


def nothing(_progress: Progress) -> None:
    """Be told how far it has come, and do nothing."""


class Moving:
    """The file with its tables, and the tables on the server."""

    def __init__(self, home: Path, web_app: "Connection", tables: Tables) -> None:
        self.path = home / "bangui.db"
        self.state = home
        self.file = web_app
        self.tables = tables

    async def migrate(
        self,
        told: Callable[[Progress], None] = nothing,
        *,
        user: str = postgres.SUPERUSER,
        is_dry: bool = False,
        conninfo: Conninfo | None = None,
    ) -> Report:
        """Run the migration; ``told`` may raise, as if the process were killed there."""
        clock = SystemClock()
        source = Source(self.path, busy_timeout=LOCK_TIMEOUT, clock=clock)
        conninfo = conninfo or self.tables.server.conninfo(self.tables.database, user)
        server = Server(conninfo, clock, schema=self.tables.schema, lock_timeout=LOCK_TIMEOUT)
        try:
            return await migration.migrate(source, server, Plan(self.state, is_dry=is_dry), clock, told)
        finally:
            await server.close()
            await source.close()

    def put(self, table: str, **columns: object) -> None:
        """Insert a row into the file, or replace it."""
        holders = ", ".join("?" * len(columns))
        self.file.execute(
            f"INSERT OR REPLACE INTO {table} ({', '.join(columns)}) VALUES ({holders})", tuple(columns.values())
        )

    def put_addresses(self, number: int, **columns: object) -> list[str]:
        """Insert rows into geo_cache of the file; return their addresses."""
        ips = [f"192.0.{n // 250}.{n % 250}" for n in range(number)]
        for ip in ips:
            self.put("geo_cache", ip=ip, **{"country_code": "DE", "last_seen": "2026-11-22T00:00:00Z", **columns})
        return ips

    def put_sessions(self, number: int, first: int = 1) -> list[str]:
        """Insert sessions into the file; return their tokens."""
        tokens = [f"token-{n}" for n in range(first, first + number)]
        for n, token in enumerate(tokens, first):
            self.put("sessions", id=n, token=token, expires_at=LATER)
        return tokens

    def there(self, columns: str = "*", table: str = "geo_cache") -> list[Any]:
        """Return what the server has."""
        return sorted(self.tables.rows(f"SELECT {columns} FROM {table}"), key=str)

    def tokens(self) -> list[str]:
        """Return the tokens that the server has."""
        return [token for (token,) in self.there("token", "sessions")]


@contextmanager
def moving(home: Path, *server_tables: str, file_tables: Sequence[str] = ()) -> Iterator[Moving]:
    """Make both databases, with the usual tables where nothing else is said; the file is in ``home``."""
    statements = server_tables or (postgres_tables.GEO_CACHE, postgres_tables.SESSIONS)
    with (
        postgres_tables.made(*statements) as tables,
        closing(engine.connect(home / "bangui.db", isolation_level=None, timeout=5)) as web_app,
    ):
        web_app.execute("PRAGMA journal_mode = WAL")
        web_app.execute("PRAGMA synchronous = OFF")
        for statement in file_tables or (schema.GEO_CACHE, schema.SESSIONS):
            web_app.execute(statement)
        yield Moving(home, web_app, tables)


def of(report: Report, table: str) -> TableReport:
    """Return a table's part of a report."""
    return next(each for each in report.tables if each.table == table)
