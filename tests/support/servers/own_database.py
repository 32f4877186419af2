"""A database of a test's own on the server that tests share, for what is one of a kind in a database."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from bangeod.fleet import schema
from bangeod.store.postgres.connection import Conninfo
from tests.support.servers import postgres
from tests.support.servers.postgres import PostgresServer


@dataclass(frozen=True)
class OwnDatabase:
    """Its name, and an administrator's connection to it."""

    server: PostgresServer
    name: str
    admin: Any  # a connection of psycopg's, on which each statement is a transaction

    def conninfo(self, user: str = postgres.SUPERUSER) -> Conninfo:
        return self.server.conninfo(self.name, user)

    def rows(self, statement: str) -> list[Any]:
        """Return what a statement finds."""
        found: list[Any] = self.admin.execute(statement).fetchall()
        return found

    def make_fleet(self) -> None:
        """Make the schema ``bangeod``; in a thread, since the test may have an event loop."""
        with ThreadPoolExecutor(1) as threads:
            threads.submit(schema.create, self.conninfo()).result()

    def end_sessions(self, words: str) -> None:
        """End bangeod's connections whose last statement has these words in it."""
        self.admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'bangeod'"
            " AND datname = current_database() AND query LIKE %s",
            (f"%{words}%",),
        )

    @contextmanager
    def role(self, *grants: str) -> Iterator[str]:
        """Give the name of a role with these grants (``SELECT ON geo_cache``)."""
        name = postgres.new_name()
        self.admin.execute(f"CREATE ROLE {name} LOGIN")
        try:
            for grant in grants:
                self.admin.execute(f"GRANT {grant} TO {name}")
            yield name
        finally:
            self.admin.execute(f"DROP OWNED BY {name}")
            self.admin.execute(f"DROP ROLE {name}")


@contextmanager
def made(*statements: str) -> Iterator[OwnDatabase]:
    """Make a database and run these statements in it, for as long as the ``with`` block lasts."""
    server, name = postgres.shared_or_skip(), postgres.new_name()
    with closing(server.connect()) as outside:
        outside.execute(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy")
        try:
            with closing(server.connect(name)) as admin:
                admin.execute("SET client_min_messages = error")
                for statement in statements:
                    admin.execute(statement)
                yield OwnDatabase(server, name, admin)
        finally:
            outside.execute(f"DROP DATABASE {name} WITH (FORCE)")
