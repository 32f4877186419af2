"""The process that plays the web app: it runs the statements that it is given, and has habits of its own.

    python -m tests.support.web_app.process DATABASE

DATABASE may be empty. The first line on its standard input has its Habits as JSON; each other one is a statement as
JSON, or null, which is answered in its turn and does nothing. A line on its standard output is one of ``Told``. It goes
on until its standard input ends. It uses bangeod's SQLite, but to be measured: an older one beside it could damage the
log.
"""

import contextlib
import gc
import json
import os
import random
import secrets
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import chain, cycle, islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bangeod.client import GeoClient, Status
from bangeod.clock import SECONDS_A_DAY
from bangeod.errors import NoDaemonError, RefusedError
from bangeod.store.sqlite.engine import engine
from tests.benchmarks.samples import written
from tests.support.feed import DEADLINE
from tests.support.web_app import habits
from tests.support.web_app.habits import EVER, LONG_AGO, OWN_COUNTRY, REGULARS, STALE_COUNTRY, Commit, Habits, Report

if TYPE_CHECKING:
    from sqlite3 import Connection

BUSY_TIMEOUT: Final = 5.0  # seconds; Python's default
REOPENED: Final = 0.02  # of the transactions of one that meddles
BANS: Final = 5  # rows in a transaction of one with a lifetime

SESSION: Final = "INSERT INTO sessions (token, expires_at) VALUES (?, ?)"
ROW: Final = "INSERT INTO geo_cache (ip, country_code, last_seen) VALUES (?, ?, ?)"
WHOLE_ROW: Final = "INSERT INTO geo_cache VALUES (?, ?, ?, ?, ?, ?, ?)"
BAN: Final = "INSERT OR IGNORE INTO geo_cache (ip, last_seen) VALUES (?, ?)"
RESOLVE: Final = "UPDATE geo_cache SET country_code = ? WHERE ip = ? AND country_code IS NULL"
REFRESH: Final = "UPDATE geo_cache SET last_seen = ? WHERE ip = ?"
EXTEND: Final = "UPDATE sessions SET expires_at = ? WHERE token = ?"


class Database:
    """The connection, which is there from its first use on."""

    def __init__(self, path: str, *, measured: bool) -> None:
        self._path = path
        self._measured = measured
        self._open: Connection | None = None

    @property
    def connection(self) -> "Connection":
        if self._open is None:
            library, timeout = (sqlite3, BUSY_TIMEOUT) if self._measured else (engine, DEADLINE)
            self._open = library.connect(self._path, timeout=timeout, isolation_level=None)
        return self._open

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def wal(self) -> int:
        """Return the size of its log, in bytes."""
        with contextlib.suppress(FileNotFoundError):
            return os.stat(f"{self._path}-wal").st_size  # noqa: PTH116 - this loop is timed
        return 0


class Transactions:
    """Sessions and rows by number, and the meddling with them."""

    def __init__(self, database: Database, mine: Habits) -> None:
        self._database = database
        self._mine = mine
        self._chance = random.Random(mine.seed)
        self._number = 0
        self._report = Report([])

    def act(self) -> None:
        commit = Commit(self._number, time.monotonic())
        self._number += 1
        try:
            self._make(self._database.connection, commit)
        except sqlite3.OperationalError:
            if not self._mine.measured:
                raise
            commit.refused = True
            if self._database.connection.in_transaction:
                self._database.connection.execute("ROLLBACK")
        commit.ended = time.monotonic()
        if self._mine.measured:
            self._report.commits.append(commit)
            self._report.largest_wal = max(self._report.largest_wal, self._database.wal())
            return
        tell(commit)
        if self._mine.meddling and self._chance.random() < REOPENED:
            # So that either side is the last one to let go of the log at times, and the next to find it.
            self._database.close()

    def _make(self, connection: "Connection", commit: Commit) -> None:
        number = commit.number
        token = secrets.token_hex(32) if self._mine.measured else habits.live(number)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(SESSION, (token, EVER))
        if self._mine.rows:
            connection.execute(WHOLE_ROW, habits.own_row(number))
        if number < len(self._mine.resolves):
            self._resolve(connection, commit, self._mine.resolves[number])
        if self._mine.meddling:
            self._meddle(connection, commit)
        connection.execute("COMMIT")

    def _meddle(self, connection: "Connection", commit: Commit) -> None:
        """Make one row of each kind, and change some of those that were made lately."""
        number, chance = commit.number, self._chance
        lately = max(0, number - chance.randrange(1, 20))
        connection.execute(SESSION, (habits.expired(number), LONG_AGO))
        connection.execute(ROW, (habits.unresolved(number), None, EVER))
        connection.execute(ROW, (habits.stale(number), STALE_COUNTRY, LONG_AGO))
        if chance.random() < 0.3:
            self._resolve(connection, commit, habits.unresolved(lately))
        if chance.random() < 0.3 and connection.execute(REFRESH, (EVER, habits.stale(lately))).rowcount:
            commit.refreshed = lately
        if chance.random() < 0.3 and connection.execute(EXTEND, (EVER, habits.expired(lately))).rowcount:
            commit.extended = lately

    def _resolve(self, connection: "Connection", commit: Commit, ip: str) -> None:
        if connection.execute(RESOLVE, (OWN_COUNTRY, ip)).rowcount:
            commit.resolved = ip

    def report(self) -> Report:
        return self._report


class Passing:
    """Logins, bans and lookups; each session and each row lasts for some seconds."""

    def __init__(self, database: Database, client: GeoClient, lifetime: int) -> None:
        self._database = database
        self._client = client
        self._lifetime = lifetime
        self._chance = random.Random()
        self._sessions: dict[str, int] = {}  # until when each is live, in seconds since the epoch
        self._rows: dict[str, int] = {}  # as sessions
        self._latest: dict[str, int] = {}  # those of the last transaction
        self._answers = dict.fromkeys(map(str, Status), 0)

    def act(self) -> None:
        self._write(self._database.connection)
        self._look_up()

    def _write(self, connection: "Connection") -> None:
        """Commit a login and some bans."""
        chance, token, ips = self._chance, secrets.token_hex(8), [self._new_address() for _ in range(BANS)]
        connection.execute("BEGIN IMMEDIATE")
        now = int(time.time())  # not before: to commit what has expired by then would be to ask for a late deletion
        self._sessions[token] = now + self._some_seconds()
        self._latest = {ip: now + self._some_seconds() for ip in ips}
        self._rows |= self._latest
        connection.execute(SESSION, (token, written(self._sessions[token], chance)))
        rows = [(ip, written(until - SECONDS_A_DAY, chance)) for ip, until in self._latest.items()]
        connection.executemany(BAN, rows)
        connection.execute("COMMIT")

    def _new_address(self) -> str:
        chance = self._chance
        return f"{chance.randrange(11, 95)}.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(1, 255)}"

    def _some_seconds(self) -> int:
        return self._chance.randrange(self._lifetime // 2, self._lifetime)

    def _look_up(self) -> None:
        """Look up all addresses whose rows last, and what the daemon knows of those whose rows do not."""
        answers = self._client.lookup_batch([*REGULARS, "10.0.0.1"])
        answers += self._client.lookup_cached_only(list(self._latest))  # later; to ask about them would let them last
        for entry in answers:
            self._answers[entry.status] += 1

    def report(self) -> Report:
        """Look for what must be there."""
        lasting, connection = time.time() + 1, self._database.connection
        tokens = {token for (token,) in connection.execute("SELECT token FROM sessions")}
        ips = {ip for (ip,) in connection.execute("SELECT ip FROM geo_cache")}
        lost = [token for token, until in self._sessions.items() if until > lasting and token not in tokens]
        lost += [ip for ip, until in self._rows.items() if until > lasting and ip not in ips]
        return Report([], 0, self._answers, len(self._sessions), len(self._rows), lost)


class Asking:
    """Lookups of ever new addresses, one after the other."""

    def __init__(self, client: GeoClient, mine: Habits) -> None:
        self._client = client
        ips = islice(chain.from_iterable(map(habits.new_addresses, mine.asks)), mine.different)
        self._ips: Iterator[str] = ips if mine.different is None else cycle(ips)

    def act(self) -> None:
        try:
            tell(habits.Heard(self._client.lookup(next(self._ips))))
        except (NoDaemonError, RefusedError) as error:
            tell(habits.Heard(None, str(error)))

    def report(self) -> Report:
        return Report([])


# --- the process ---


def main(path: str, mine: Habits) -> None:
    """Work until the standard input ends."""
    told = _told()
    with contextlib.ExitStack() as running:
        database = Database(path, measured=mine.measured)
        running.callback(database.close)
        habit: Transactions | Passing | Asking | None = None
        if mine.sessions:
            habit = Transactions(database, mine)
        elif mine.socket is not None:
            # Who asks one by one wants to hear of a failure; who does all there is to do takes it as an answer.
            client = running.enter_context(GeoClient(mine.socket, timeout=DEADLINE, strict=mine.lifetime is None))
            habit = Asking(client, mine) if mine.lifetime is None else Passing(database, client, mine.lifetime)
        if path and habit:
            _ = database.connection  # else it is the file at the path when the first statement comes
        gc.freeze()  # a collection is not to take longer for all that has been imported, which a web app would not have
        tell(habits.Begun())
        _work(told, database, habit.act if habit else None, mine)
        tell(habit.report() if habit else Report([]))


def _work(told: "SimpleQueue[str | None]", database: Database, act: Callable[[], None] | None, mine: Habits) -> None:
    due = time.monotonic()
    while True:
        try:
            line = told.get(timeout=None if act is None else max(0.0, due - time.monotonic()))
        except Empty:
            began = time.monotonic()
            if act is not None:
                act()
            due = (began if mine.measured else time.monotonic()) + mine.every
            continue
        if line is None:
            return
        statement = json.loads(line)
        tell(habits.Rows(_rows(database.connection, statement) if statement is not None else []))


def _rows(connection: "Connection", statement: str) -> list[list[Any]]:
    return [list(row) for row in connection.execute(statement)]


def tell(what: habits.Told) -> None:
    print(msgspec.json.encode(what).decode(), flush=True)


def _told() -> "SimpleQueue[str | None]":
    """Return what the lines of the standard input come to, then None."""
    told: SimpleQueue[str | None] = SimpleQueue()
    threading.Thread(target=_listen, args=(told,), daemon=True).start()
    return told


def _listen(told: "SimpleQueue[str | None]") -> None:
    for line in sys.stdin:
        told.put(line)
    told.put(None)


if __name__ == "__main__":
    main(sys.argv[1], msgspec.json.decode(sys.stdin.readline(), type=Habits))
