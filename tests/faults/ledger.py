"""The model of a database that web apps write to and daemons keep in order: what must be in it, and what may not.

It is told what a web app has committed, and learns from each look what a daemon has. Whatever happens to a daemon, and
to the server, no row of the web app is lost or changed against its will, no live session goes or ends at another time,
and a country found stays. Of a commit that was not confirmed since the server was lost, all may be there or nothing.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, Final

from tests.support.daemon.installation import Installation
from tests.support.web_app.habits import (
    EVER,
    OWN_COUNTRY,
    STALE_COUNTRY,
    Commit,
    expired,
    live,
    own,
    own_row,
    stale,
    unresolved,
)
from tests.support.web_app.web_app import WebApp

Countries = dict[str, str | None]
Row = tuple[str | None, ...]

# A time is written as the web app writes it: as text in a file, as a moment on a server.
WRITTEN: Final = "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
ROWS: Final = (
    "SELECT ip, country_code, country_name, asn, org,"
    f" {WRITTEN.format('cached_at')}, {WRITTEN.format('last_seen')} FROM geo_cache"
)
SESSIONS: Final = f"SELECT token, {WRITTEN.format('expires_at')} FROM sessions"
LEFT: Final = (
    "SELECT (SELECT count(*) FROM geo_cache WHERE country_code IS NULL OR last_seen < now() - interval '90 days')"
    " + (SELECT count(*) FROM sessions WHERE expires_at < now())"
)


class Ledger(ABC):
    """What must hold. ``country`` is what the daemon's source says of every address it is asked about.

    Of several web apps one may change what another has made, and tell of it before that one does.
    """

    def __init__(self, web_apps: Sequence[WebApp], country: str) -> None:
        self._web_apps = web_apps
        self._country = country
        self._commits = [0] * len(web_apps)
        self._live: set[str] = set()
        self._own: set[Row] = set()  # rows that stay as the web app made them, in every column
        self._seen: set[str] = set()  # rows that the web app has seen later than the daemon ever can
        self._kept: Countries = {}  # rows that have this country for good
        self._unresolved: set[str] = set()  # rows that have none, or by now the daemon's
        self._stale: set[str] = set()  # rows that have to go
        self._expired: set[str] = set()  # sessions that have to go
        self._unsure: set[int] = set()  # the numbers of commits that may not be there
        self._perhaps_refreshed: set[str] = set()  # rows that need not go
        self._perhaps_extended: set[str] = set()  # sessions that need not go

    @abstractmethod
    def _read(self) -> tuple[set[Row], dict[str, str]]:
        """Return the rows, each as ``own_row`` has them, and until when each session lasts, by token."""

    def _learn(self, commit: Commit) -> None:
        number = commit.number
        if commit.unsure:
            self._unsure.add(number)
            self._doubt(commit)
            return
        self._live.add(live(number))
        if expired(number) not in self._live:
            self._expired.add(expired(number))
        self._own.add(own_row(number))
        self._seen.add(unresolved(number))
        if unresolved(number) not in self._kept:  # else a look has found it resolved before the web app told of it
            self._unresolved.add(unresolved(number))
        if stale(number) not in self._kept:
            self._stale.add(stale(number))
        if commit.resolved is not None:
            self._keep(self._unresolved, commit.resolved, OWN_COUNTRY)
        if commit.refreshed is not None:
            self._keep(self._stale, stale(commit.refreshed), STALE_COUNTRY)
            self._seen.add(stale(commit.refreshed))
        if commit.extended is not None:
            self._expired.discard(expired(commit.extended))
            self._live.add(expired(commit.extended))

    def _doubt(self, commit: Commit) -> None:
        """Take note of what need not go any more: it may have been refreshed or extended."""
        if commit.refreshed is not None:
            self._perhaps_refreshed.add(stale(commit.refreshed))
        if commit.extended is not None:
            self._perhaps_extended.add(expired(commit.extended))

    def _keep(self, group: set[str], ip: str, country: str) -> None:
        group.discard(ip)
        assert self._kept.setdefault(ip, country) == country, f"{ip} had a country, and was given {country}"

    def check(self) -> None:
        """Look into the database while the web apps go on, and compare."""
        self._compare()

    def _compare(self) -> tuple[Countries, dict[str, str]]:
        for number, web_app in enumerate(self._web_apps):
            for commit in web_app.commits(self._commits[number]):
                self._learn(commit)
                self._commits[number] += 1
        rows, sessions = self._read()
        other = {token: sessions.get(token) for token in self._live if sessions.get(token) != EVER}
        assert not other, f"live sessions are gone or have another end: {dict(list(other.items())[:5])}"
        changed = self._own - rows
        assert not changed, f"rows of the web app's own are gone or changed: {sorted(map(str, changed))[:5]}"
        countries = {ip: country for ip, country, *_ in rows if ip is not None}
        wrong = {ip: countries.get(ip) for ip, country in self._kept.items() if countries.get(ip) != country}
        assert not wrong, f"rows are gone or have another country: {dict(list(wrong.items())[:5])}"
        gone = self._unresolved - countries.keys()
        assert not gone, f"rows are gone: {sorted(gone)[:5]}"
        earlier = {ip: seen for ip, *_, seen in rows if ip in self._seen and seen != EVER}
        assert not earlier, f"rows were seen earlier than they had been: {dict(list(earlier.items())[:5])}"
        halves = {number for number in self._unsure if (live(number) in sessions) != (own(number) in countries)}
        assert not halves, f"of these transactions a part is there: {sorted(halves)[:5]}"
        self._look_at_what_is_resolved(countries)
        return countries, sessions

    def _look_at_what_is_resolved(self, countries: Countries) -> None:
        """Take note of what has a country now: it is not to lose it again."""
        for ip, country in countries.items():
            if country is None or ip in self._kept or ip in self._stale or ip.startswith("9."):
                continue
            assert country in (self._country, OWN_COUNTRY), f"{ip} has {country}"
            self._unresolved.discard(ip)
            self._kept[ip] = country

    @property
    def unsure(self) -> int:
        """Return how many commits were not confirmed."""
        return len(self._unsure)

    @property
    def resolved(self) -> int:
        """Return how many rows are known to have the daemon's country."""
        return sum(country == self._country for country in self._kept.values())

    def is_finished(self) -> bool:
        """Say whether all is done that there is to do; the web apps must have finished."""
        countries, sessions = self._compare()
        stale_ones = (self._stale - self._perhaps_refreshed) & countries.keys()
        expired_ones = (self._expired - self._perhaps_extended) & sessions.keys()
        return not self._unresolved and not stale_ones and not expired_ones


class FileLedger(Ledger):
    """Of an SQLite file."""

    def __init__(self, place: Installation, web_app: WebApp, country: str) -> None:
        super().__init__([web_app], country)
        self._place = place

    def _read(self) -> tuple[set[Row], dict[str, str]]:
        with self._place.connection() as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            rows: set[Row] = set(connection.execute("SELECT * FROM geo_cache"))
            return rows, dict(connection.execute("SELECT token, expires_at FROM sessions"))


class ServerLedger(Ledger):
    """Of tables on a server, whose times are timestamptz; ``connect`` returns psycopg's connection to it."""

    def __init__(self, connect: Callable[[], Any], web_apps: Sequence[WebApp], country: str) -> None:
        super().__init__(web_apps, country)
        self._connect = connect

    def _read(self) -> tuple[set[Row], dict[str, str]]:
        with closing(self._connect()) as connection:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            rows: set[Row] = set(connection.execute(ROWS))
            return rows, dict(connection.execute(SESSIONS).fetchall())

    def is_finished(self) -> bool:
        """Say so only where no row without a country is left either, nor what was not confirmed, but is due."""
        with closing(self._connect()) as connection:
            ((left,),) = connection.execute(LEFT)
        return super().is_finished() and not left
