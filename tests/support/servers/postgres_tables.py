"""Tables of a web app on the server that tests share: a schema for each test, since that is quicker than a database."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from bangeod.clock import SystemClock
from bangeod.store.postgres.store import PostgresStore
from tests.support.servers import postgres
from tests.support.servers.postgres import PostgresServer

COMMON: Final = "bangui"  # the database that has the schemas
GEO_CACHE: Final = (
    "CREATE TABLE geo_cache (ip TEXT PRIMARY KEY, country_code TEXT, country_name TEXT, asn TEXT, org TEXT,"
    " cached_at TEXT, last_seen TEXT)"
)
SESSIONS: Final = "CREATE TABLE sessions (id BIGINT PRIMARY KEY, token TEXT UNIQUE, created_at TEXT, expires_at TEXT)"


@dataclass(frozen=True)
class Tables:
    """The tables, the web app's connection to them, and stores over them."""

    server: PostgresServer
    database: str
    schema: str
    web_app: Any  # a connection of psycopg's, on which each statement is a transaction

    def store(self, *, user: str = postgres.SUPERUSER, **limits: float) -> PostgresStore:
        """Return a store over them, which is not prepared yet."""
        return PostgresStore(self.server.conninfo(self.database, user), SystemClock(), schema=self.schema, **limits)

    def another(self) -> Any:
        """Return another connection as the web app's own, to be closed."""
        connection = self.server.connect(self.database)
        connection.execute(f"SET search_path = {self.schema}")
        return connection

    def rows(self, statement: str) -> list[Any]:
        """Return what the web app reads."""
        found: list[Any] = self.web_app.execute(statement).fetchall()
        return found

    @contextmanager
    def role(self, *grants: str) -> Iterator[str]:
        """Give the name of a role that may use the schema, and what the grants say (``SELECT ON geo_cache``)."""
        name = postgres.new_name()
        self.web_app.execute(f"CREATE ROLE {name} LOGIN")
        try:
            self.web_app.execute(f"GRANT USAGE ON SCHEMA {self.schema} TO {name}")
            for grant in grants:
                self.web_app.execute(f"GRANT {grant} TO {name}")
            yield name
        finally:
            self.web_app.execute(f"DROP OWNED BY {name}")
            self.web_app.execute(f"DROP ROLE {name}")

    def lose(self) -> None:
        """Drop the database, whoever is connected to it."""
        self.web_app.close()
        with self.server.connect() as admin:
            admin.execute(f"DROP DATABASE {self.database} WITH (FORCE)")


@contextmanager
def made(*statements: str) -> Iterator[Tables]:
    """Make a schema and run these statements in it, for as long as the ``with`` block lasts."""
    server = postgres.shared_or_skip()
    schema = postgres.new_name()
    _make_common(server)
    with closing(server.connect(COMMON)) as web_app:
        web_app.execute(f"CREATE SCHEMA {schema}")
        web_app.execute(f"SET search_path = {schema}")
        web_app.execute("SET client_min_messages = error")
        try:
            for statement in statements:
                web_app.execute(statement)
            yield Tables(server, COMMON, schema, web_app)
        finally:
            if not web_app.closed:
                web_app.execute(f"DROP SCHEMA {schema} CASCADE")


def _make_common(server: PostgresServer) -> None:
    with server.connect() as admin:
        if not admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", (COMMON,)).fetchone():
            admin.execute(f"CREATE DATABASE {COMMON} STRATEGY file_copy")
