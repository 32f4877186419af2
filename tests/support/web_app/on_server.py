"""The process that plays a web app on a PostgreSQL server: sessions and rows by number, as those on SQLite's file.

    python -m tests.support.web_app.on_server URL

The first line on its standard input has its Habits as JSON. It acts until that input ends. A line on its standard
output is one of ``Told``. While the server is away it tries to connect; an act is never tried twice.
"""

import random
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
import psycopg

from tests.support.web_app import habits
from tests.support.web_app.habits import EVER, LONG_AGO, OWN_COUNTRY, STALE_COUNTRY, Commit, Habits, Report

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.errors import Diagnostic

CONNECT_TIMEOUT: Final = 5  # seconds
LATELY: Final = 20  # acts of all web apps

SESSION: Final = "INSERT INTO sessions (token, expires_at) VALUES (%s, %s)"
ROW: Final = "INSERT INTO geo_cache (ip, country_code, last_seen) VALUES (%s, %s, %s)"
WHOLE_ROW: Final = "INSERT INTO geo_cache VALUES (%s, %s, %s, %s, %s, %s, %s)"
RESOLVE: Final = "UPDATE geo_cache SET country_code = %s WHERE ip = %s AND country_code IS NULL"
REFRESH: Final = "UPDATE geo_cache SET last_seen = %s WHERE ip = %s"
EXTEND: Final = "UPDATE sessions SET expires_at = %s WHERE token = %s"


class Server:
    """The connection, made anew where it is lost."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._open: Connection[tuple[Any, ...]] | None = None
        self.warned = False  # by the server: that a commit is not at the standby, say

    def connected(self) -> "Connection[tuple[Any, ...]] | None":
        """Return the connection; None while none can be made."""
        if self._open is None or self._open.closed:
            try:
                self._open = psycopg.connect(self._url, autocommit=True, connect_timeout=CONNECT_TIMEOUT)
            except psycopg.OperationalError:
                return None
            self._open.add_notice_handler(self._warn)
        return self._open

    def _warn(self, notice: "Diagnostic") -> None:
        self.warned = self.warned or notice.severity_nonlocalized == "WARNING"

    def close(self) -> None:
        if self._open is not None:
            self._open.close()


class Transactions:
    """Adds one of each kind in a transaction, and changes some of those that were added lately, by whomever."""

    def __init__(self, server: Server, mine: Habits) -> None:
        self._server = server
        self._mine = mine
        self._chance = random.Random(mine.seed)
        self._number = mine.first

    def act(self) -> None:
        connection = self._server.connected()
        if connection is None:
            return
        commit = Commit(self._number, time.monotonic())
        self._number += self._mine.step
        try:
            connection.execute("BEGIN")
            self._make(connection, commit)
            commit.unsure, self._server.warned = True, False
            connection.execute("COMMIT")
            commit.unsure = self._server.warned
        except psycopg.OperationalError:
            if not connection.closed:  # a deadlock, say
                raise
            if not commit.unsure:  # nothing of it is there
                return
        commit.ended = time.monotonic()
        tell(commit)

    def _make(self, connection: "Connection[tuple[Any, ...]]", commit: Commit) -> None:
        number, chance = commit.number, self._chance
        lately = max(0, number - chance.randrange(1, LATELY))
        connection.execute(SESSION, (habits.live(number), EVER))
        connection.execute(SESSION, (habits.expired(number), LONG_AGO))
        connection.execute(WHOLE_ROW, habits.own_row(number))
        connection.execute(ROW, (habits.unresolved(number), None, EVER))
        connection.execute(ROW, (habits.stale(number), STALE_COUNTRY, LONG_AGO))
        if chance.random() < 0.3:
            ip = habits.unresolved(lately)
            if connection.execute(RESOLVE, (OWN_COUNTRY, ip)).rowcount:
                commit.resolved = ip
        if chance.random() < 0.3 and connection.execute(REFRESH, (EVER, habits.stale(lately))).rowcount:
            commit.refreshed = lately
        if chance.random() < 0.3 and connection.execute(EXTEND, (EVER, habits.expired(lately))).rowcount:
            commit.extended = lately


def tell(what: habits.Told) -> None:
    print(msgspec.json.encode(what).decode(), flush=True)


def main(url: str, mine: Habits) -> None:
    """Act until the standard input ends."""
    ended = threading.Event()

    def listen() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=listen, daemon=True).start()
    server = Server(url)
    transactions = Transactions(server, mine)
    tell(habits.Begun())
    while not ended.wait(mine.every):
        transactions.act()
    server.close()
    tell(Report([]))


if __name__ == "__main__":
    main(sys.argv[1], msgspec.json.decode(sys.stdin.readline(), type=Habits))
