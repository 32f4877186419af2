"""Writes fail2ban's database with fail2ban's own modules; run by the system's Python, which is to have those.

    /usr/bin/python3 tests/support/fail2ban/writer.py DATABASE < orders

Each line of the standard input is an order, ``["name", {arguments}]`` as JSON; each is answered by one of the standard
output. It knows nothing of bangeod: whether that understands what fail2ban writes is what the tests ask.
"""

import json
import sqlite3
import sys
import threading
import time
from typing import Any

from fail2ban.server.database import Fail2BanDb
from fail2ban.server.mytime import MyTime
from fail2ban.server.ticket import BanTicket


class Actions:
    """What the database asks of a jail's actions: how long a ban lasts."""

    def getBanTime(self) -> int:  # noqa: N802 - fail2ban's name
        return 600


class Jail:
    """What the database asks of a jail."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.actions = Actions()


class Writer:
    """The orders, by name."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._database = Fail2BanDb(path)
        self._jails: dict[str, Jail] = {}
        self._halt = threading.Event()
        self._busy: threading.Thread | None = None
        self._written, self._locked, self._longest = 0, 0, 0.0

    def _jail(self, name: str) -> Jail:
        if name not in self._jails:
            self._jails[name] = Jail(name)
            self._database.addJail(self._jails[name])
        return self._jails[name]

    def _ban(self, ip: str, at: float, bantime: int, count: int, jail: str) -> None:
        ticket = BanTicket(ip, at, ["a line of a log"] * 3)
        ticket.setBanTime(bantime)
        ticket.setBanCount(count)
        self._database.addBan(self._jail(jail), ticket)

    def clock(self, now: float) -> None:
        """Set fail2ban's own clock."""
        MyTime.setTime(now)

    def ban(self, bans: list[tuple[str, float, int, int, str]]) -> None:
        """Ban each: address, when, for how long (seconds), which time it is, the jail."""
        for ban in bans:
            self._ban(*ban)

    def ban_quickly(self, bans: list[tuple[str, float, int]]) -> None:
        """Put many into the tables as ``ban`` does, in one transaction."""
        self._jail("sshd")
        rows = [(ip, at, bantime) for ip, at, bantime in bans]
        connection = sqlite3.connect(self._path)
        with connection:
            connection.executemany("INSERT INTO bans VALUES ('sshd', ?, ?, ?, 1, '{}')", rows)
            connection.executemany("INSERT OR REPLACE INTO bips VALUES (?, 'sshd', ?, ?, 1, '{}')", rows)
        connection.close()

    def ban_very_many(self, count: int, at: float) -> None:
        """Ban so many addresses for good, without telling each of them."""
        self._jail("sshd")
        connection = sqlite3.connect(self._path)
        connection.execute("PRAGMA cache_size = -200000")  # 200 MB, or it would take minutes
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = MEMORY")
        with connection:
            connection.execute(
                "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?) INSERT INTO bips"
                " SELECT printf('%d.%d.%d.%d', 11 + (i >> 24), i >> 16 & 255, i >> 8 & 255, i & 255), 'sshd', ?, -1, 1,"
                ' CAST(\'{"matches": ["a line of a log"], "failures": 5}\' AS BLOB) FROM n',
                (count, int(at)),
            )
        connection.close()

    def unban(self, ip: str, jail: str) -> None:
        """Unban by hand."""
        self._database.delBan(self._jail(jail), ip)

    def purge(self) -> None:
        """Do what fail2ban does each hour."""
        self._database.purge()

    def banned(self, now: float) -> list[str]:
        """Say who is banned now, as fail2ban sees it when it starts."""
        return [
            str(ticket.getID())
            for jail in self._jails.values()
            for ticket in self._database.getCurrentBans(jail=jail, fromtime=now, correctBanTime=False)
        ]

    def journal_mode(self) -> str:
        """Return how fail2ban's connection keeps its journal."""
        mode: str = self._database._db.execute("PRAGMA journal_mode").fetchone()[0]
        return mode

    def keep_busy(self) -> None:
        """Ban and unban without a pause, in the background."""
        self._jail("busy")
        self._busy = threading.Thread(target=self._churn)
        self._busy.start()

    def _churn(self) -> None:
        number = 0
        while not self._halt.is_set():
            ip = f"2a00:1450::{number % 5_000:x}"
            began = time.monotonic()
            try:
                self._ban(ip, time.time(), 600, 1, "busy")
                self._written += 1
            except sqlite3.OperationalError:
                self._locked += 1
            self._longest = max(self._longest, time.monotonic() - began)
            number += 1

    def rest(self) -> dict[str, float]:
        """End that, and report it."""
        self._halt.set()
        if self._busy:
            self._busy.join()
        return {"written": self._written, "locked": self._locked, "longest": self._longest}

    def lock(self) -> None:
        """Take the database for this process alone, and keep it."""
        self._database._db.execute("BEGIN EXCLUSIVE")

    def unlock(self) -> None:
        """Give it back."""
        self._database._db.rollback()


def main(path: str) -> None:
    """Obey until the standard input ends."""
    writer = Writer(path)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        name, arguments = json.loads(line)
        answer: Any = getattr(writer, name)(**arguments)
        print(json.dumps(answer), flush=True)
    writer.rest()


if __name__ == "__main__":
    main(sys.argv[1])
