"""The fleet's tables in a database of their own on the server that tests share, and a role for each host."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from bangeod.fleet import schema
from bangeod.fleet.statements import TABLES
from bangeod.store.postgres.connection import Conninfo
from bangeod.store.postgres.session import Session
from tests.support.manual_clock import ManualClock
from tests.support.servers import postgres
from tests.support.servers.postgres import PostgresServer

TIMES: Final = {"claims": ("until",), "pauses": ("until", "window_end", "said_at")}


@dataclass(frozen=True)
class FleetTables:
    """The tables, a superuser's connection to them, and the roles of the hosts."""

    server: PostgresServer
    database: str
    admin: Any  # a connection of psycopg's, on which each statement is a transaction
    roles: tuple[str, ...]

    def conninfo(self, number: int = 0) -> Conninfo:
        """Return how the host of this number connects."""
        return replace(self.server.conninfo(self.database, self.roles[number]), is_fleets=True)

    def session(self, number: int = 0, clock: ManualClock | None = None) -> Session:
        """Return a session of the host of this number, to be closed."""
        return Session(self.conninfo(number), clock or ManualClock(), schema=None, lock_timeout=1.0)

    def connect(self, number: int) -> Any:
        """Return a connection of psycopg's for the host of this number, to be closed."""
        return self.server.connect(self.database, self.roles[number])

    def sql(self, statement: str, *values: object) -> list[Any]:
        """Run a statement as the superuser, for whom there is no row-level security; return its rows."""
        done = self.admin.execute(statement, values)
        return list(done.fetchall()) if done.description is not None else []

    def let_pass(self, seconds: float) -> None:
        """Change claims and pauses as if so much time had passed."""
        for table, columns in TIMES.items():
            moved = ", ".join(f"{column} = {column} - make_interval(secs => {seconds})" for column in columns)
            self.admin.execute(f"UPDATE bangeod.{table} SET {moved}")

    def empty(self) -> None:
        self.admin.execute(f"TRUNCATE {', '.join(f'bangeod.{table}' for table in TABLES)}")


@contextmanager
def made(hosts: int = 3) -> Iterator[FleetTables]:
    """Make the tables on the server that tests share; where there is none, the test is skipped."""
    with on(postgres.shared_or_skip(), hosts) as tables:
        yield tables


@contextmanager
def on(server: PostgresServer, hosts: int) -> Iterator[FleetTables]:
    """Make the tables and so many roles that may use them, for as long as the ``with`` block lasts."""
    database = postgres.new_name()
    roles = tuple(f"{database}_host_{number}" for number in range(hosts))
    with closing(server.connect()) as maker:
        maker.execute(f"CREATE DATABASE {database} TEMPLATE template0 STRATEGY file_copy")
        try:
            for role in roles:
                maker.execute(f"CREATE ROLE {role} LOGIN")
            schema.create(server.conninfo(database), roles)
            with closing(server.connect(database)) as admin:
                yield FleetTables(server, database, admin, roles)
        finally:
            maker.execute(f"DROP DATABASE {database} WITH (FORCE)")
            for role in roles:
                maker.execute(f"DROP ROLE IF EXISTS {role}")
