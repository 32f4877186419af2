"""A database of a fleet on the tests' PostgreSQL server, with a role for each of two hosts that own nothing."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any, Final

from bangeod.fleet import schema
from bangeod.store.postgres.connection import Conninfo
from tests.support.servers import postgres
from tests.support.servers.postgres import PostgresServer

ROLES: Final = ("web1", "web2")


class FleetDatabase:
    """A database, as long as a test wants it."""

    def __init__(self, server: PostgresServer, name: str) -> None:
        self.server = server
        self.name = name

    def url_of(self, role: str) -> str:
        return f"postgresql://{role}@/{self.name}?host={self.server.home}"

    def conninfo(self, role: str = postgres.SUPERUSER) -> Conninfo:
        return Conninfo(self.server.keywords(self.name, role), self.url_of(role), is_fleets=True)

    def sql(self, *statements: str, role: str = postgres.SUPERUSER) -> list[tuple[Any, ...]]:
        """Run statements; return the rows of the last."""
        with closing(self.server.connect(self.name, role)) as somebody:
            for statement in statements:
                done = somebody.execute(statement)
            return done.fetchall() if done.description is not None else []

    def make_tables(self, *roles: str) -> None:
        """Make the fleet's tables, and let roles use them: where none is named, both hosts'."""
        with ThreadPoolExecutor(1) as thread:  # this one may have an event loop
            thread.submit(schema.create, self.conninfo(), roles or ROLES).result()


@contextmanager
def fleet_database(server: PostgresServer) -> Iterator[FleetDatabase]:
    """Give a database without tables; it goes when the block ends."""
    database = FleetDatabase(server, postgres.new_name())
    with closing(server.connect()) as admin:
        admin.execute(f"CREATE DATABASE {database.name} STRATEGY file_copy")
        for role in ROLES:
            if not admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone():
                admin.execute(f"CREATE ROLE {role} LOGIN")
    try:
        yield database
    finally:
        with closing(server.connect()) as admin:
            admin.execute(f"DROP DATABASE {database.name} WITH (FORCE)")
