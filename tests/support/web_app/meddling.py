"""A web app that does to the tables whatever can get into a job's way, and says what it has committed.

    python -m tests.support.web_app.meddling DATABASE SEED

It goes on until its standard input ends. Each line on its standard output is a Commit as JSON, written after the
transaction has committed. Now and then it closes the database and opens it again, so that either side is the last one
to let go of the log at times, and the next to find it.
"""

import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec

from bangeod.store.sqlite.engine import engine
from tests.support.companion import Companion, end_of_input
from tests.support.feed import DEADLINE, Feed

if TYPE_CHECKING:
    from sqlite3 import Connection

EVERY = 0.008  # seconds
REOPENED = 0.02  # of the transactions
OWN_COUNTRY = "AQ"  # no source has these addresses there
STALE_COUNTRY = "CL"

LONG_AGO, EVER = "2001-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
SESSION = "INSERT INTO sessions (token, expires_at) VALUES (?, ?)"
ROW = "INSERT INTO geo_cache (ip, country_code, last_seen) VALUES (?, ?, ?)"
WHOLE_ROW = "INSERT INTO geo_cache VALUES (?, ?, ?, ?, ?, ?, ?)"
RESOLVE = "UPDATE geo_cache SET country_code = ? WHERE ip = ? AND country_code IS NULL"
REFRESH = "UPDATE geo_cache SET last_seen = ? WHERE ip = ?"
EXTEND = "UPDATE sessions SET expires_at = ? WHERE token = ?"


class Commit(msgspec.Struct):
    """The transaction of this number. What it names was there when it committed."""

    number: int
    resolved: int | None = None  # the number whose unresolved row it gave OWN_COUNTRY
    refreshed: int | None = None  # the number whose stale row is stale no longer
    extended: int | None = None  # the number whose expired session is live again


def live(number: int) -> str:
    """Return the token of a session that is live."""
    return f"live {number}"


def expired(number: int) -> str:
    """Return the token of a session that has expired."""
    return f"expired {number}"


def own(number: int) -> str:
    """Return the address of a row that came with OWN_COUNTRY."""
    return f"2a00:1450:{number >> 16:x}:{number & 0xFFFF:x}::1"


def own_row(number: int) -> tuple[str, ...]:
    """Return that row, whole."""
    return (own(number), OWN_COUNTRY, "Antarctica", f"AS{number + 1}", f"Station {number}", LONG_AGO, EVER)


def unresolved(number: int) -> str:
    """Return the address of a row that came without a country."""
    return f"8.{number >> 16}.{number >> 8 & 0xFF}.{number & 0xFF}"


def stale(number: int) -> str:
    """Return the address of a row that came with STALE_COUNTRY and was not seen for long."""
    return f"9.{number >> 16}.{number >> 8 & 0xFF}.{number & 0xFF}"


class MeddlingWebApp(Companion):
    """The process, for as long as the ``with`` block lasts; ``through`` is what starts it in our place."""

    def __init__(self, database: Path, seed: int, *, through: Sequence[str] = ()) -> None:
        super().__init__("tests.support.web_app.meddling", database, seed, through=through)
        self._feed: Feed[Commit] = Feed("the web app")
        self._thread = threading.Thread(target=self._read, name="web-app")
        self._thread.start()

    def _read(self) -> None:
        for line in self.output:
            self._feed.add(msgspec.json.decode(line, type=Commit))
        self._feed.close()

    def commits(self, since: int) -> list[Commit]:
        """Return what it has committed, from the number ``since`` on."""
        return self._feed.all(since)

    def wait_for(self, number: int) -> None:
        """Wait until it has committed so many transactions."""
        self._feed.wait(lambda commit: commit.number >= number, f"transaction {number}")

    def finish(self) -> None:
        """Have it stop; it has said all it did when this returns."""
        self.input.close()
        assert self._process.wait(DEADLINE) == 0
        self._thread.join()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()  # no error where it has ended
        self._thread.join()  # before its pipe is closed
        super().__exit__(kind, error, trace)


def main(database: str, seed: int) -> None:
    """Write until the standard input ends."""
    chance = Random(seed)
    ended = end_of_input()
    connection, number = _open(database), 0
    while not ended.wait(EVERY):
        if chance.random() < REOPENED:
            connection.close()
            connection = _open(database)
        print(msgspec.json.encode(_commit(connection, number, chance)).decode(), flush=True)
        number += 1
    connection.close()


def _open(database: str) -> "Connection":
    connection: Connection = engine.connect(database, timeout=DEADLINE, isolation_level=None)
    return connection


def _commit(connection: "Connection", number: int, chance: Random) -> Commit:
    """Make one row of each kind, and meddle with some of those that were made lately."""
    commit = Commit(number)
    lately = max(0, number - chance.randrange(1, 20))
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(SESSION, (live(number), EVER))
    connection.execute(SESSION, (expired(number), LONG_AGO))
    connection.execute(WHOLE_ROW, own_row(number))
    connection.execute(ROW, (unresolved(number), None, EVER))
    connection.execute(ROW, (stale(number), STALE_COUNTRY, LONG_AGO))
    if chance.random() < 0.3 and connection.execute(RESOLVE, (OWN_COUNTRY, unresolved(lately))).rowcount:
        commit.resolved = lately
    if chance.random() < 0.3 and connection.execute(REFRESH, (EVER, stale(lately))).rowcount:
        commit.refreshed = lately
    if chance.random() < 0.3 and connection.execute(EXTEND, (EVER, expired(lately))).rowcount:
        commit.extended = lately
    connection.execute("COMMIT")
    return commit


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
