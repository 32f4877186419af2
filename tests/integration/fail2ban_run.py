"""All four jobs beside fail2ban and the web app: fail2ban's modules write its database, a country MMDB is asked.

The real daemon runs its jobs with intervals of a second on rows of addresses that are banned, were banned, or have
nothing to do with it. Meanwhile more is banned, the web app writes, and fail2ban keeps its database to itself for
a while. What is in bangeod's table afterwards is compared with what has to be there.
"""

import random
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import maxminddb

from tests.integration.real_run import FORMS, PATIENCE, SEED, random_address
from tests.support.daemon.installation import GeoRow, Installation, every, text
from tests.support.daemon.process import DaemonProcess, Line
from tests.support.fail2ban.database import Ban, Fail2ban
from tests.support.feed import eventually
from tests.support.mmdb.files import write_mmdb
from tests.support.web_app.habits import OWN_COUNTRY, Habits
from tests.support.web_app.web_app import WebApp

OLD_COUNTRY = "XK"  # of rows that are there already; no MMDB says so
FOR_GOOD, AN_HOUR = -1, 3_600
STALE, TWO_DAYS, LATELY = timedelta(days=-400), timedelta(days=-2), timedelta(hours=-3)


@dataclass
class Contents:
    """Addresses, by what has to become of them."""

    cold: list[str] = field(default_factory=list)  # banned, no row: to be resolved
    late: list[str] = field(default_factory=list)  # the same, banned while the daemon runs
    waiting: list[str] = field(default_factory=list)  # banned, stale, no country: to be resolved, and kept
    kept: list[str] = field(default_factory=list)  # banned and stale: to be kept, seen now
    moving: list[str] = field(default_factory=list)  # banned, seen two days ago: seen now
    resting: list[str] = field(default_factory=list)  # banned, seen some hours ago: that stays
    stale: list[str] = field(default_factory=list)  # banned once: to be deleted
    fresh: list[str] = field(default_factory=list)  # banned once, seen lately: to be left alone
    forgotten: list[str] = field(default_factory=list)  # banned once, no row: none is made
    left_over: list[str] = field(default_factory=list)  # what an earlier daemon could not write
    nowhere: list[str] = field(default_factory=list)  # banned, but not routable or no address: no row is made

    @property
    def banned_rows(self) -> list[str]:
        """Return which rows are of banned addresses, of those that are there at the start."""
        return [*self.waiting, *self.kept, *self.moving, *self.resting]


@dataclass
class Outcome:
    """How the run went."""

    contents: Contents
    web_app: WebApp
    lines: list[Line]
    exit_status: int
    faults: list[str]


def make_mmdb(path: Path) -> Path:
    """Write a country MMDB that knows four of five networks."""
    codes = ["US", "DE", "FR", "SE", "BR", "JP"]
    networks = {f"{octet}.0.0.0/8": {"country_code": codes[octet % 6]} for octet in range(1, 224) if octet % 5}
    networks |= {f"{0x2000 + block:x}::/9": {"country_code": codes[block % 6]} for block in range(0, 0x2000, 0x80)}
    return write_mmdb(path, networks)


# --- before ---


def fill(place: Installation, fail2ban: Fail2ban) -> Contents:
    """Ban addresses, and put rows into the table."""
    dice = random.Random(SEED)
    contents = Contents()
    sizes = {"cold": 500, "late": 100, "waiting": 200, "kept": 300, "moving": 200, "resting": 200, "stale": 300}
    for name, size in {**sizes, "fresh": 100, "forgotten": 100, "left_over": 100}.items():
        setattr(contents, name, [random_address(dice) for _ in range(size)])
    contents.nowhere = ["10.0.0.1", "2001:db8::1", "host.example.org", "203.0.113.0/24", "someone"]
    now = datetime.now(UTC)
    fail2ban.ban(*_bans(dice, now.timestamp(), contents))
    place.insert(
        rows=_rows(dice, now, contents), sessions=[("live", text(timedelta(1))), ("over", text(-timedelta(1)))]
    )
    return contents


def _bans(dice: random.Random, now: float, contents: Contents) -> Iterator[Ban]:
    for ip in [*contents.cold, *contents.banned_rows, *contents.nowhere]:
        yield Ban(ip, now - dice.randrange(3_000), dice.choice([FOR_GOOD, 2 * AN_HOUR]), jail="sshd")
        if dice.random() < 0.3:
            yield Ban(ip, now - 90_000, AN_HOUR, nth=2, jail="recidive")
    for ip in [*contents.stale, *contents.fresh, *contents.forgotten]:
        yield Ban(ip, now - 90_000, AN_HOUR)


def _rows(dice: random.Random, now: datetime, contents: Contents) -> Iterator[GeoRow]:
    kinds: list[tuple[list[str], str | None, timedelta]] = [
        (contents.waiting, None, STALE),
        (contents.kept, OLD_COUNTRY, STALE),
        (contents.moving, OLD_COUNTRY, TWO_DAYS),
        (contents.resting, OLD_COUNTRY, LATELY),
        (contents.stale, OLD_COUNTRY, STALE),
        (contents.fresh, OLD_COUNTRY, LATELY),
    ]
    for ips, country, when in kinds:
        for ip in ips:
            yield ip, country, dice.choice(FORMS)(now + when)


# --- the run ---


def run(home: Path, mmdb: Path, modules: Path) -> Outcome:
    """Do all of it in an empty directory."""
    place = Installation(home / "bangeod")
    place.make()
    with ExitStack() as running:
        fail2ban = running.enter_context(Fail2ban(home / "fail2ban.sqlite3", modules))
        contents = fill(place, fail2ban)
        sources = {"geo.mmdb": [str(mmdb)], "fail2ban.database": str(fail2ban.path)}
        place.configure(every("1s"), every("100ms", "geo_cache_flush"), sources, {"database.busy_timeout": "2s"})
        place.leave_unwritten(*contents.left_over, country=OWN_COUNTRY)  # for the flush: the others write their own
        before = _seen(place)
        web_app = running.enter_context(
            WebApp(place.database, Habits(sessions=True, rows=True, resolves=contents.waiting[::10]))
        )
        daemon = running.enter_context(DaemonProcess(place.config))
        settled = _settle(place, daemon, contents)
        _ban_more(place, daemon, fail2ban, contents)
        _keep_locked(daemon, fail2ban)
        since = daemon.mark()
        for job_event in ("geo_re_resolve_skip", "geo_cache_cleanup_ran"):
            daemon.wait_for(job_event, since=since, timeout=PATIENCE)
        web_app.finish()
        status = daemon.stop()
        wrong = [*faults(place, contents, web_app, mmdb), *_times(contents, before, settled, _seen(place))]
        return Outcome(contents, web_app, daemon.lines(), status, wrong)


def _settle(place: Installation, daemon: DaemonProcess, contents: Contents) -> Mapping[str, object]:
    """Wait until each job has done what there is to do; return when each row was seen last."""
    daemon.wait_for("geo_re_resolve_complete", timeout=PATIENCE)
    daemon.wait_for("geo_re_resolve_skip", timeout=PATIENCE)
    daemon.wait_for("geo_cache_cleanup_ran", deleted=len(contents.stale), timeout=PATIENCE)
    daemon.wait_for("geo_cache_cleanup_ran", deleted=0, timeout=PATIENCE)
    daemon.wait_for("session_cleanup_ran", deleted_count=1, timeout=PATIENCE)
    eventually(lambda: place.countries().keys() >= {*contents.cold}, "rows of banned addresses", timeout=PATIENCE)
    return _seen(place)


def _ban_more(place: Installation, daemon: DaemonProcess, fail2ban: Fail2ban, contents: Contents) -> None:
    """Ban what nobody has heard of yet, and wait for its rows."""
    fail2ban.ban(*(Ban(ip, datetime.now(UTC).timestamp(), AN_HOUR) for ip in contents.late))
    since = daemon.mark()
    daemon.wait_for("geo_re_resolve_start", since=since, timeout=PATIENCE)
    eventually(lambda: place.countries().keys() >= {*contents.late}, "rows of later bans", timeout=PATIENCE)


def _keep_locked(daemon: DaemonProcess, fail2ban: Fail2ban) -> None:
    """Have fail2ban keep its database to itself until two runs have met that."""
    since = daemon.mark()
    fail2ban.tell("lock")
    daemon.wait_for("fail2ban_unreadable", level="warning", since=since, timeout=PATIENCE)
    daemon.wait_for("fail2ban_unreadable", level="debug", since=since, timeout=PATIENCE)
    fail2ban.tell("unlock")
    daemon.wait_for("fail2ban_recovered", since=since, timeout=PATIENCE)


def _seen(place: Installation) -> dict[str, object]:
    return dict(place.execute("SELECT ip, last_seen FROM geo_cache"))


# --- after ---


def faults(place: Installation, contents: Contents, web_app: WebApp, mmdb: Path) -> Iterator[str]:
    """Compare the tables with what has to be in them; hand out what is wrong."""
    countries, expected = place.countries(), _expected_countries(contents, web_app, mmdb)
    yield from _differences("rows", countries.keys(), expected.keys())
    wrong = [(key, countries.get(key), country) for key, country in expected.items() if countries.get(key) != country]
    if wrong:
        yield f"{len(wrong)} rows have another country, such as (key, found, expected) {wrong[:5]}"
    yield from _differences("sessions", place.tokens(), {"live", *web_app.tokens})
    if place.execute("PRAGMA integrity_check") != [("ok",)]:
        yield "the database is damaged"


def _times(
    contents: Contents, before: Mapping[str, object], settled: Mapping[str, object], after: Mapping[str, object]
) -> Iterator[str]:
    """Find rows whose ``last_seen`` did not move as it has to: to now for who is banned, but once a day at most."""
    today = {ip for ip, seen in after.items() if str(seen) >= text(timedelta(minutes=-30))[:19]}
    moved = {ip for ip in before.keys() & after.keys() if before[ip] != after[ip]}
    theirs = {*contents.banned_rows, *contents.fresh}
    expected = theirs - {*contents.resting, *contents.fresh}
    yield from _differences("rows that are seen now", today & theirs, expected)
    yield from _differences("rows whose last_seen was written", moved, expected)
    again = [ip for ip in theirs | {*contents.cold} if settled[ip] != after[ip]]
    if again:
        yield f"{len(again)} rows were written again the same day, such as {again[:3]}"


def _differences(what: str, found: AbstractSet[str], expected: AbstractSet[str]) -> Iterator[str]:
    for problem, items in (("are missing", expected - found), ("should not be there", found - expected)):
        if items:
            yield f"{len(items)} {what} {problem}, such as {sorted(items)[:3]}"


def _expected_countries(contents: Contents, web_app: WebApp, mmdb: Path) -> dict[str, str | None]:
    expected: dict[str, str | None] = dict.fromkeys([*contents.kept, *contents.moving, *contents.resting], OLD_COUNTRY)
    expected |= dict.fromkeys(contents.fresh, OLD_COUNTRY)
    with maxminddb.open_database(mmdb) as reader:
        expected |= {ip: _country(reader.get(ip)) for ip in [*contents.cold, *contents.late, *contents.waiting]}
    return expected | dict.fromkeys([*contents.left_over, *web_app.resolved, *web_app.rows], OWN_COUNTRY)


def _country(record: Any) -> str | None:
    country: str | None = record.get("country_code") if isinstance(record, dict) else None
    return country
