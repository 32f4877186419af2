"""The fleet's tables in a database of their own on the server that tests share, and a role for each host."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from bangeod.fleet import schema
from bangeod.fleet.statements import TABLES
from bangeod.store.postgres.connection import Conninfo
from tests.support.servers import postgres
from tests.support.servers.postgres import PostgresServer

GRANTS: Final = (
    "GRANT USAGE ON SCHEMA bangeod TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA bangeod TO {role}",
)
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

    def rows(self, statement: str) -> list[Any]:
        found: list[Any] = self.admin.execute(statement).fetchall()
        return found

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
            schema.create(server.conninfo(database))
            with closing(server.connect(database)) as admin:
                for role in roles:
                    admin.execute(f"CREATE ROLE {role} LOGIN")
                    for grant in GRANTS:
                        admin.execute(grant.format(role=role))
                yield FleetTables(server, database, admin, roles)
        finally:
            maker.execute(f"DROP DATABASE {database} WITH (FORCE)")
            for role in roles:
                maker.execute(f"DROP ROLE IF EXISTS {role}")
