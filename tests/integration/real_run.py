"""The main job on real input: 100,000 rows, a real country MMDB, the web app at work, and a stop in the middle.

    python -m tests.integration.real_run [--mmdb FILE]

makes a database, lets the daemon run its four jobs on it with intervals of a second, ends it by SIGTERM while it
resolves, starts it again, and compares what is in the database with what has to be there. It prints its figures,
and the faults where there are any. The MMDB is fetched with npm and kept in ~/.cache/bangeod-tests.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import maxminddb

from tests.support.daemon.installation import GeoRow, Installation, Session, every
from tests.support.daemon.process import DaemonProcess, Line
from tests.support.feed import eventually
from tests.support.mmdb import published
from tests.support.web_app.habits import OWN_COUNTRY, Habits
from tests.support.web_app.web_app import WebApp

SEED = 2026
PATIENCE = 120.0  # seconds that the jobs may take
UNREADABLE = ("yesterday", "2026-02-30T00:00:00Z", "12:00", "", "now")
NO_ADDRESSES = ("not an address", "999.1.1.1", "1.2.3")
LEFT_OVER = 1_000  # entries that an earlier daemon could not write
FORMS: tuple[Callable[[datetime], object], ...] = (
    lambda at: at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    lambda at: at.isoformat(),
    lambda at: at.strftime("%Y-%m-%d %H:%M:%S"),
    lambda at: str(int(at.timestamp())),
)


@dataclass
class Contents:
    """What is put into the database, by what has to become of it."""

    unresolved: list[str] = field(default_factory=list)  # routable, no country: to be resolved
    resolved: list[str] = field(default_factory=list)  # to be left alone
    stale: list[str] = field(default_factory=list)  # to be deleted, with a country or without
    unreadable: list[str] = field(default_factory=list)  # last seen nobody knows when: to be kept
    hopeless: list[str] = field(default_factory=list)  # private, or no address: to be left without a country
    left_over: list[str] = field(default_factory=list)  # not in the table yet: to be written
    live: list[str] = field(default_factory=list)  # sessions
    expired: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)  # sessions that end nobody knows when

    @property
    def rows(self) -> int:
        """Return how many rows of geo_cache there are at the start."""
        return sum(map(len, (self.unresolved, self.resolved, self.stale, self.unreadable, self.hopeless)))


@dataclass
class Outcome:
    """How the run went."""

    contents: Contents
    web_app: WebApp
    lines: list[Line]  # of both daemons
    exit_statuses: list[int]
    seconds_to_ready: float
    faults: list[str]

    def figures(self) -> list[tuple[str, str]]:
        """Return what is worth knowing, as pairs of a name and a value."""
        unresolved, took = self._resolving()
        sums = {key: sum(line.get(key, 0) for line in self.lines) for key in ("deleted", "deleted_count", "flushed")}
        return [
            ("rows at the start", f"{self.contents.rows:,}"),
            ("start to READY", f"{self.seconds_to_ready:.2f} s"),
            ("geo_re_resolve", f"{unresolved:,} addresses in {took:.1f} s, {unresolved / took:,.0f} a second"),
            ("geo_cache_cleanup", f"{sums['deleted']:,} rows deleted"),
            ("session_cleanup", f"{sums['deleted_count']:,} sessions deleted"),
            ("geo_cache_flush", f"{sums['flushed']:,} entries written"),
            ("the web app meanwhile", f"{len(self.web_app.rows):,} transactions, each committed"),
            ("its longest wait", f"{self.web_app.longest_write * 1000:.0f} ms"),
        ]

    def _resolving(self) -> tuple[int, float]:
        """Return how many addresses had no country, and the seconds for which both daemons worked on them."""
        took = 0.0
        began = [line for line in self.lines if line["event"] == "geo_re_resolve_start"]
        for line in began:
            after = self.lines[self.lines.index(line) :]
            ended = next(each for each in after if each["event"] in {"geo_re_resolve_complete", "stopped"})
            took += (_time(ended) - _time(line)).total_seconds()
        return max(line["unresolved"] for line in began), took


def _time(line: Line) -> datetime:
    return datetime.fromisoformat(line["timestamp"])


# --- before ---


def fill(place: Installation, now: datetime) -> Contents:
    """Put 100,000 rows and 20,000 sessions into the database, in all forms that there are."""
    dice = random.Random(SEED)
    contents = Contents()
    place.insert(rows=_rows(dice, now, contents), sessions=_sessions(dice, now, contents))
    contents.left_over = [random_address(dice) for _ in range(LEFT_OVER)]
    place.leave_unwritten(*contents.left_over, country=OWN_COUNTRY)
    return contents


def _rows(dice: random.Random, now: datetime, contents: Contents) -> Iterator[GeoRow]:
    seen: set[str] = set()

    def fresh() -> object:
        return dice.choice(FORMS)(now - timedelta(seconds=dice.randrange(80 * 86_400)))

    def stale() -> object:
        return dice.choice(FORMS)(now - timedelta(days=dice.randrange(91, 1_000)))

    kinds: list[tuple[int, list[str], str | None, Callable[[], object]]] = [
        (40_000, contents.unresolved, None, fresh),
        (39_000, contents.resolved, "XK", fresh),
        (15_000, contents.stale, "FR", stale),
        (5_000, contents.stale, None, stale),
        (500, contents.unreadable, "FR", lambda: dice.choice(UNREADABLE)),
    ]
    for count, keys, country, last_seen in kinds:
        for _ in range(count):
            key = random_address(dice)
            if key not in seen:
                seen.add(key)
                keys.append(key)
                yield key, country, last_seen()
    for key in [*NO_ADDRESSES, *(f"10.{n >> 8}.{n & 255}.1" for n in range(500))]:
        contents.hopeless.append(key)
        yield key, None, fresh()


def _sessions(dice: random.Random, now: datetime, contents: Contents) -> Iterator[Session]:
    for number in range(20_000):
        token = f"session {number}"
        away = timedelta(seconds=dice.randrange(3_600, 365 * 86_400))  # live ones live longer than this takes
        match number % 20:
            case 0:
                contents.unclear.append(token)
                yield token, dice.choice(UNREADABLE)
            case 1 | 2 | 3 | 4 | 5 | 6 | 7:
                contents.live.append(token)
                yield token, dice.choice(FORMS)(now + away)
            case _:
                contents.expired.append(token)
                yield token, dice.choice(FORMS)(now - away)


def random_address(dice: random.Random) -> str:
    """Return a routable address, one in ten of them IPv6."""
    if dice.random() < 0.1:
        return str(IPv6Address(0x2000 << 112 | dice.getrandbits(125)).compressed.replace("2002:", "2003:"))
    while True:
        address = IPv4Address(dice.getrandbits(32))
        if address.is_global and not address.is_multicast:
            return str(address)


# --- the run ---


def run(home: Path, mmdb: Path) -> Outcome:
    """Do all of it in an empty directory."""
    place = Installation(home / "bangeod")
    place.make()
    contents = fill(place, datetime.now(UTC))
    place.configure(every("1s"), {"geo.mmdb": [str(mmdb)], "database.busy_timeout": "5s"})
    first: list[Line] = []
    began = time.monotonic()
    with WebApp(place.database, Habits(sessions=True, rows=True, resolves=contents.unresolved[::10])) as web_app:
        with DaemonProcess(place.config) as daemon:
            daemon.wait_for("ready", timeout=PATIENCE)
            seconds_to_ready = time.monotonic() - began
            daemon.wait_for("geo_re_resolve_start", timeout=PATIENCE)
            eventually(lambda: _resolved_so_far(place) > 0, "the first batch is written", timeout=PATIENCE)
            statuses = [daemon.stop()]  # in the middle of it
            first = daemon.lines()
        with DaemonProcess(place.config) as daemon:
            daemon.wait_for("geo_re_resolve_complete", timeout=PATIENCE)
            daemon.wait_for("geo_re_resolve_skip", timeout=PATIENCE)
            daemon.wait_for("geo_cache_cleanup_ran", deleted=0, timeout=PATIENCE)
            daemon.wait_for("session_cleanup_ran", deleted_count=0, timeout=PATIENCE)
            web_app.finish()
            statuses.append(daemon.stop())
            lines = first + daemon.lines()
    return Outcome(contents, web_app, lines, statuses, seconds_to_ready, [*faults(place, contents, web_app, mmdb)])


def _resolved_so_far(place: Installation) -> int:
    [(count,)] = place.execute(
        "SELECT count(*) FROM geo_cache WHERE country_code NOT IN ('XK', 'FR', ?)", (OWN_COUNTRY,)
    )
    return int(count)


# --- after ---


def faults(place: Installation, contents: Contents, web_app: WebApp, mmdb: Path) -> Iterator[str]:
    """Compare the database with what has to be in it; hand out what is wrong."""
    countries, expected = place.countries(), _expected_countries(contents, web_app, mmdb)
    yield from _differences("rows", countries.keys(), expected.keys())
    wrong = [(key, countries.get(key), country) for key, country in expected.items() if countries.get(key) != country]
    if wrong:
        yield f"{len(wrong)} rows have another country, such as (key, found, expected) {wrong[:5]}"
    yield from _differences("sessions", place.tokens(), {*contents.live, *contents.unclear, *web_app.tokens})
    if place.unwritten.exists():
        yield f"{place.unwritten} is still there"
    if place.execute("PRAGMA integrity_check") != [("ok",)]:
        yield "the database is damaged"


def _differences(what: str, found: AbstractSet[str], expected: AbstractSet[str]) -> Iterator[str]:
    for problem, items in (("are missing", expected - found), ("should not be there", found - expected)):
        if items:
            yield f"{len(items)} {what} {problem}, such as {sorted(items)[:3]}"


def _expected_countries(contents: Contents, web_app: WebApp, mmdb: Path) -> dict[str, str | None]:
    expected: dict[str, str | None] = dict.fromkeys(contents.resolved, "XK")
    expected |= dict.fromkeys(contents.unreadable, "FR")
    expected |= dict.fromkeys(contents.hopeless, None)
    with maxminddb.open_database(mmdb) as reader:
        expected |= {ip: _country(reader.get(ip)) for ip in contents.unresolved}
    expected |= dict.fromkeys(web_app.resolved, OWN_COUNTRY)  # the web app was faster
    expected |= dict.fromkeys([*contents.left_over, *web_app.rows], OWN_COUNTRY)
    return expected


def _country(record: Any) -> str | None:
    country: str | None = record.get("country_code") if isinstance(record, dict) else None
    return country


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description="Run the daemon's jobs on 100,000 rows and a real MMDB.")
    parser.add_argument("--mmdb", type=Path, help="a flat country MMDB; fetched with npm where it is not given")
    arguments = parser.parse_args()
    mmdb = arguments.mmdb or published.fetch(published.default_cache())
    with tempfile.TemporaryDirectory(prefix="bangeod-") as home:
        outcome = run(Path(home), mmdb.absolute())
    for name, value in outcome.figures():
        print(f"{name:<34}{value}")
    for fault in outcome.faults:
        print(f"FAULT: {fault}")
    return 1 if outcome.faults or any(outcome.exit_statuses) else 0


if __name__ == "__main__":
    sys.exit(main())
