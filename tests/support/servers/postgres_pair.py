"""Two PostgreSQL servers, of which one is a streaming standby of the other: what is committed outlives its primary.

They keep their two folders, and so a url that names both keeps its meaning, however often they change places.
"""

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bangeod.store.postgres import url
from bangeod.store.postgres.connection import Conninfo
from tests.support.servers import postgres
from tests.support.servers.postgres import SUPERUSER, PostgresServer


class Pair:
    """A primary and its standby. ``synchronous``: no commit is confirmed before the standby has it."""

    def __init__(self, programs: Path, *, synchronous: bool, settings: Mapping[str, str]) -> None:
        self.primary = PostgresServer(programs)
        self.standby = PostgresServer(programs)
        self.synchronous = synchronous
        self._settings = settings
        self._homes = self.primary.home, self.standby.home

    def begin(self) -> None:
        self.primary.make()
        self.primary.start(**self._settings)
        self.rejoin()

    def end(self) -> None:
        """End both and remove them."""
        self.primary.end()
        self.standby.end()

    def kill_primary(self) -> None:
        """End the primary as a crash of its host would; the standby takes no writes until it is promoted."""
        self.primary.stop(signal.SIGQUIT)

    def promote(self) -> None:
        """Make the primary of what was the standby. There is no standby then, and commits wait for none."""
        self.standby.promote()
        self.primary, self.standby = self.standby, self.primary

    def fail_over(self) -> None:
        self.kill_primary()
        self.promote()

    def rejoin(self) -> None:
        """Have the server that was killed come back, as the standby of what is the primary now."""
        self.standby.follow(self.primary, synchronous=self.synchronous, **self._settings)

    def url(self, database: str = "postgres", user: str = SUPERUSER) -> str:
        """Return a url with both hosts, for bangeod."""
        return f"postgresql://{user}@{','.join(quote(str(home), safe='') for home in self._homes)}/{database}"

    def conninfo(self, database: str = "postgres", user: str = SUPERUSER) -> Conninfo:
        return url.parse(self.url(database, user)).conninfo()

    def connect(self, database: str = "postgres", user: str = SUPERUSER) -> Any:
        """Return a connection of psycopg's to whichever is the primary, on which each statement is a transaction."""
        return self.primary.connect(database, user)


@contextmanager
def running(*, synchronous: bool = False, **settings: str) -> Iterator[Pair]:
    """Run both until the block ends. Raises NotToBeHadError where there can be no server."""
    pair = Pair(postgres.programs(), synchronous=synchronous, settings=settings)
    try:
        pair.begin()
        yield pair
    finally:
        pair.end()
