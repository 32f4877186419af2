"""A second process that plays the web app for the soak: logins, bans and lookups, until it is told to end or killed.

    python -m tests.support.web_app.busy DATABASE SOCKET LIFETIME

Each session and each row that it makes lasts for some seconds, LIFETIME at most and half of it at least: a row's
``last_seen`` lies as far back as the shortest retention allows. It prints a line when it has
done a little of everything, and a Report as JSON when its standard input ends.
"""

import json
import random
import secrets
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from bangeod.client import GeoClient, Status
from bangeod.clock import SECONDS_A_DAY
from bangeod.store.sqlite.engine import engine
from tests.benchmarks.samples import written
from tests.support.companion import Companion, end_of_input
from tests.support.feed import DEADLINE

if TYPE_CHECKING:
    from sqlite3 import Connection

EVERY: Final = 0.02  # seconds
BANS: Final = 5  # rows in a transaction
REGULARS: Final = [f"8.8.{number}.8" for number in range(100)]  # looked up all the time; their rows last
SESSION: Final = "INSERT INTO sessions (token, expires_at) VALUES (?, ?)"
ROW: Final = "INSERT OR IGNORE INTO geo_cache (ip, last_seen) VALUES (?, ?)"


class Report(NamedTuple):
    """What it did, and what it found of that at its end."""

    answers: dict[str, int]  # lookups by their status
    sessions: int
    rows: int
    lost: list[str]  # sessions that are live, and rows that are not stale, but not there


class BusyWebApp(Companion):
    """The process, for as long as the ``with`` block lasts."""

    def __init__(self, database: Path, socket: Path, lifetime: int) -> None:
        super().__init__("tests.support.web_app.busy", database, socket, lifetime)
        assert self.output.readline() == "begun\n"

    def finish(self) -> Report:
        """Have it end in good order."""
        return Report(*json.loads(self.end()))


class Work:
    """What it does, and remembers of it."""

    def __init__(self, connection: "Connection", lifetime: int) -> None:
        self._connection = connection
        self._lifetime = lifetime
        self._chance = random.Random()
        self._sessions: dict[str, int] = {}  # until when each is live, in seconds since the epoch
        self._rows: dict[str, int] = {}  # as sessions
        self._latest: dict[str, int] = {}  # those of the last transaction
        self._answers = dict.fromkeys(map(str, Status), 0)

    def go_on(self, client: GeoClient) -> None:
        """Do a little of everything."""
        self._write()
        self._look_up(client)

    def _write(self) -> None:
        """Commit a login and some bans."""
        chance, token, ips = self._chance, secrets.token_hex(8), [self._new_address() for _ in range(BANS)]
        self._connection.execute("BEGIN IMMEDIATE")
        now = int(time.time())  # not before: to commit what has expired by then would be to ask for a late deletion
        self._sessions[token] = now + self._some_seconds()
        self._latest = {ip: now + self._some_seconds() for ip in ips}
        self._rows |= self._latest
        self._connection.execute(SESSION, (token, written(self._sessions[token], chance)))
        rows = [(ip, written(until - SECONDS_A_DAY, chance)) for ip, until in self._latest.items()]
        self._connection.executemany(ROW, rows)
        self._connection.execute("COMMIT")

    def _new_address(self) -> str:
        chance = self._chance
        return f"{chance.randrange(11, 95)}.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(1, 255)}"

    def _some_seconds(self) -> int:
        return self._chance.randrange(self._lifetime // 2, self._lifetime)

    def _look_up(self, client: GeoClient) -> None:
        """Look up all addresses whose rows last, and what the daemon knows of those whose rows do not."""
        answers = client.lookup_batch([*REGULARS, "10.0.0.1"])
        answers += client.lookup_cached_only(list(self._latest))  # later, to be asked about them would let them last
        for entry in answers:
            self._answers[entry.status] += 1

    def report(self) -> Report:
        """Look for what must be there."""
        lasting = time.time() + 1
        tokens = {token for (token,) in self._connection.execute("SELECT token FROM sessions")}
        ips = {ip for (ip,) in self._connection.execute("SELECT ip FROM geo_cache")}
        lost = [token for token, until in self._sessions.items() if until > lasting and token not in tokens]
        lost += [ip for ip, until in self._rows.items() if until > lasting and ip not in ips]
        return Report(self._answers, len(self._sessions), len(self._rows), lost)


def main(database: str, socket: str, lifetime: int) -> None:
    """Work until the standard input ends."""
    ended = end_of_input()
    connection = engine.connect(database, timeout=DEADLINE, isolation_level=None)
    with closing(connection), GeoClient(socket, timeout=DEADLINE) as client:
        work = Work(connection, lifetime)
        work.go_on(client)
        print("begun", flush=True)
        while not ended.wait(EVERY):
            work.go_on(client)
        print(json.dumps(work.report()))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
