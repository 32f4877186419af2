"""The fleet's tables in a database of a server's, and roles for hosts, as README has them made."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from bangeod.fleet import schema, statements
from bangeod.store.postgres.connection import Conninfo
from bangeod.store.postgres.session import Session
from tests.support.manual_clock import ManualClock
from tests.support.servers import postgres
from tests.support.servers.postgres import PostgresServer

GRANTS: Final = (
    "GRANT USAGE ON SCHEMA bangeod TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA bangeod TO {role}",
)


@dataclass(frozen=True)
class FleetTables:
    """The tables, the administrator's connection to them, and the names of two hosts' roles."""

    server: PostgresServer
    database: str
    admin: Any  # a connection of psycopg's, on which each statement is a transaction
    roles: tuple[str, str]

    def conninfo(self, role: int) -> Conninfo:
        return self.server.conninfo(self.database, self.roles[role])

    def session(self, role: int = 0, clock: ManualClock | None = None) -> Session:
        """Return a session of one of the roles, to be closed."""
        return Session(self.conninfo(role), clock or ManualClock(), schema=None, lock_timeout=1.0)

    def connect(self, role: int) -> Any:
        """Return a connection of psycopg's for one of the roles, to be closed."""
        return self.server.connect(self.database, self.roles[role])

    def sql(self, statement: str, *values: object) -> list[Any]:
        """Run a statement as the administrator, for whom there is no row-level security."""
        done = self.admin.execute(statement, values)
        return list(done.fetchall()) if done.description is not None else []

    def empty(self) -> None:
        self.sql(f"TRUNCATE {', '.join(f'bangeod.{table}' for table in statements.TABLES)}")


@contextmanager
def made() -> Iterator[FleetTables]:
    """Make a database with the fleet's tables and two roles, for as long as the ``with`` block lasts."""
    server = postgres.shared_or_skip()
    database, roles = postgres.new_name(), (postgres.new_name(), postgres.new_name())
    with closing(server.connect()) as admin:
        admin.execute(f"CREATE DATABASE {database} STRATEGY file_copy")
    try:
        schema.create(server.conninfo(database))
        with closing(server.connect(database)) as admin:
            for role in roles:
                admin.execute(f"CREATE ROLE {role} LOGIN")
                for grant in GRANTS:
                    admin.execute(grant.format(role=role))
            yield FleetTables(server, database, admin, roles)
    finally:
        with closing(server.connect()) as admin:
            admin.execute(f"DROP DATABASE {database} WITH (FORCE)")
            for role in roles:
                admin.execute(f"DROP ROLE IF EXISTS {role}")
