"""A second process that plays the web app: it writes for as long as the daemon works, and tells what it wrote.

    python -m tests.support.web_app.writer DATABASE < addresses

Every few milliseconds it inserts a session and a row of geo_cache; now and then it gives an address from the
standard input (one a line, then an empty line) a country of its own, where that has none yet. When the standard
input ends it stops and prints a Report as JSON. It uses bangeod's SQLite: an older one beside it could damage the log.
"""

import json
import secrets
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bangeod.store.sqlite.engine import engine
from tests.support.companion import Companion, end_of_input
from tests.support.feed import DEADLINE

if TYPE_CHECKING:
    from sqlite3 import Connection

EVERY = 0.005  # seconds
OWN_COUNTRY = "AQ"  # no MMDB has these addresses there

SESSION = "INSERT INTO sessions (token, expires_at) VALUES (?, '2999-01-01T00:00:00Z')"
ROW = "INSERT INTO geo_cache (ip, country_code, last_seen) VALUES (?, ?, '2999-01-01T00:00:00Z')"
RESOLVE = "UPDATE geo_cache SET country_code = ? WHERE ip = ? AND country_code IS NULL"


class Report(NamedTuple):
    """What the web app did."""

    tokens: list[str]  # sessions, all of them live
    rows: list[str]  # keys of geo_cache
    resolved: list[str]  # keys that were given OWN_COUNTRY
    longest_write: float  # seconds


class WebApp(Companion):
    """The process, for as long as the ``with`` block lasts; ``finish`` ends it and returns its report."""

    def __init__(self, database: Path, addresses: Iterable[str]) -> None:
        super().__init__("tests.support.web_app.writer", database)
        self.input.write("\n".join([*addresses, "", ""]))
        self.input.flush()

    def finish(self) -> Report:
        """Have it stop."""
        return Report(*json.loads(self.end()))


def main(database: str) -> None:
    """Write until the standard input ends."""
    addresses = list(iter(lambda: sys.stdin.readline().strip(), ""))
    ended = end_of_input()
    connection = engine.connect(database, timeout=DEADLINE, isolation_level=None)
    report = Report([], [], [], 0.0)
    while not ended.wait(EVERY):
        began = time.monotonic()
        _write(connection, report, addresses)
        report = report._replace(longest_write=max(report.longest_write, time.monotonic() - began))
    connection.close()
    print(json.dumps(report))


def _write(connection: "Connection", report: Report, addresses: list[str]) -> None:
    """Commit one transaction, and note what is in it."""
    number = len(report.rows)
    token, key = secrets.token_hex(16), f"2a00:1450:{number >> 16:x}:{number & 0xFFFF:x}::1"
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(SESSION, (token,))
    connection.execute(ROW, (key, OWN_COUNTRY))
    address = addresses[number] if number < len(addresses) else None
    resolved = address is not None and connection.execute(RESOLVE, (OWN_COUNTRY, address)).rowcount
    connection.execute("COMMIT")
    report.tokens.append(token)
    report.rows.append(key)
    if resolved and address is not None:
        report.resolved.append(address)


if __name__ == "__main__":
    main(sys.argv[1])
