"""An installation whose database is a PostgreSQL server's: a database of its own there, as long as a test wants it."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from bangeod.store.postgres import driver
from tests.support.daemon.installation import Installation
from tests.support.daemon.process import bangeod
from tests.support.mmdb.published import NotToBeHadError
from tests.support.servers import postgres
from tests.support.servers.postgres import PostgresServer

ROLE = "web"  # bangeod's, on the server


class OnServer(Installation):
    """Config and state in one directory, and an empty database on a server, to begin with without tables."""

    def __init__(self, home: Path, server: PostgresServer, database: str) -> None:
        super().__init__(home)
        self.server = server
        self.name = database
        self.url = self.url_of(ROLE)

    def url_of(self, role: str) -> str:
        """Return the url of the database for a role."""
        return f"postgresql://{role}@/{self.name}?host={self.server.home}"

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements as the web app; return the rows of the last."""
        with closing(self.server.connect(self.name)) as web_app:
            for statement in statements:
                done = web_app.execute(statement)
            return done.fetchall() if done.description is not None else []

    def make_tables(self) -> None:
        """Make both tables by bangeod's own command, and let bangeod's role use them."""
        made = bangeod("init", "--database", self.url_of(postgres.SUPERUSER))
        assert (made.returncode, made.stderr) == (0, "")
        self.sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON geo_cache, sessions TO {ROLE}")


def own_server_or_skip() -> PostgresServer:
    """Return a server for one module's tests, not started; where there can be none, skip them, or fail if required."""
    reason = "psycopg is not installed"
    try:
        if driver.available():
            return PostgresServer(postgres._programs())
    except NotToBeHadError as error:
        reason = str(error)
    if os.environ.get(postgres.REQUIRED):
        pytest.fail(reason)
    pytest.skip(f"no PostgreSQL: {reason}")


@contextmanager
def on_server(home: Path, server: PostgresServer) -> Iterator[OnServer]:
    """Give such an installation; its database goes when the block ends."""
    place = OnServer(home, server, postgres.new_name())
    with closing(server.connect()) as admin:
        admin.execute(f"CREATE DATABASE {place.name} STRATEGY file_copy")
        if not admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (ROLE,)).fetchone():
            admin.execute(f"CREATE ROLE {ROLE} LOGIN")
    place.state.mkdir(parents=True)
    place.configure({"database.path": "", "database.url": place.url})
    try:
        yield place
    finally:
        with closing(server.connect()) as admin:
            admin.execute(f"DROP DATABASE {place.name} WITH (FORCE)")
