"""The model of a database that a web app writes to and a daemon keeps in order: what must be in it, and what may not.

It is told what the web app has committed, and learns from each look what the daemon has. Whatever happens to the
daemon, no row of the web app is lost or changed against its will, no live session goes or ends at another time, and a
country found stays.
"""

from tests.support.daemon.installation import Installation
from tests.support.web_app.habits import (
    EVER,
    OWN_COUNTRY,
    STALE_COUNTRY,
    Commit,
    expired,
    live,
    own_row,
    stale,
    unresolved,
)
from tests.support.web_app.web_app import WebApp

Countries = dict[str, str | None]
Row = tuple[str | None, ...]


class Ledger:
    """What must hold. ``country`` is what the daemon's source says of every address it is asked about."""

    def __init__(self, place: Installation, web_app: WebApp, country: str) -> None:
        self._place = place
        self._web_app = web_app
        self._country = country
        self._commits = 0
        self._live: set[str] = set()
        self._own: set[Row] = set()  # rows that stay as the web app made them, in every column
        self._seen: set[str] = set()  # rows that the web app has seen later than the daemon ever can
        self._kept: Countries = {}  # rows that have this country for good
        self._unresolved: set[str] = set()  # rows that have none, or by now the daemon's
        self._stale: set[str] = set()  # rows that have to go
        self._expired: set[str] = set()  # sessions that have to go

    def _learn(self, commit: Commit) -> None:
        number = commit.number
        self._live.add(live(number))
        self._expired.add(expired(number))
        self._own.add(own_row(number))
        self._seen.add(unresolved(number))
        if unresolved(number) not in self._kept:  # else a look has found it resolved before the web app told of it
            self._unresolved.add(unresolved(number))
        self._stale.add(stale(number))
        if commit.resolved is not None:
            self._keep(self._unresolved, commit.resolved, OWN_COUNTRY)
        if commit.refreshed is not None:
            self._keep(self._stale, stale(commit.refreshed), STALE_COUNTRY)
            self._seen.add(stale(commit.refreshed))
        if commit.extended is not None:
            self._expired.discard(expired(commit.extended))
            self._live.add(expired(commit.extended))

    def _keep(self, group: set[str], ip: str, country: str) -> None:
        group.discard(ip)
        assert self._kept.setdefault(ip, country) == country, f"{ip} had a country, and was given {country}"

    def check(self) -> None:
        """Look into the database while the web app goes on, and compare."""
        for commit in self._web_app.commits(self._commits):
            self._learn(commit)
            self._commits += 1
        with self._place.connection() as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            rows: set[Row] = set(connection.execute("SELECT * FROM geo_cache"))
            sessions = dict(connection.execute("SELECT token, expires_at FROM sessions"))
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
        self._look_at_what_is_resolved(countries)

    def _look_at_what_is_resolved(self, countries: Countries) -> None:
        """Take note of what has a country now: it is not to lose it again."""
        for ip, country in countries.items():
            if country is None or ip in self._kept or ip in self._stale or ip.startswith("9."):
                continue
            assert country in (self._country, OWN_COUNTRY), f"{ip} has {country}"
            self._unresolved.discard(ip)
            self._kept[ip] = country

    @property
    def resolved(self) -> int:
        """Return how many rows are known to have the daemon's country."""
        return sum(country == self._country for country in self._kept.values())

    def is_finished(self) -> bool:
        """Say whether the daemon has done all there is to do; the web app must have finished."""
        self.check()
        countries, tokens = self._place.countries(), self._place.tokens()
        return not self._unresolved and not self._stale & countries.keys() and not self._expired & tokens
