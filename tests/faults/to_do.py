"""An installation in which each job has something to do; and, written by hand, what must be there once it has done so.

None of it is learned from a run of bangeod. What a run has not come to yet is as it was, and nothing else ever is.
"""

import json
import shutil
import tomllib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from tests.support.daemon.installation import JOBS, Installation, every, text

if TYPE_CHECKING:
    from pathlib import Path
    from sqlite3 import Connection

LONG_AGO = "2001-01-01T00:00:00Z"
HOUR = timedelta(hours=1)
LATELY = timedelta(minutes=10)  # when the jobs ran last, so that none of them is due by itself
MANY = 60  # more than the first slice has, so that there are two transactions
FEW = 10
AT_REST = {"bangui.db", "bangui.db.bangeod-lock", "bangeod.toml", "state"}  # in a directory in which nothing runs
OPEN = {"bangui.db-wal", "bangui.db-shm"}  # and these where the database is open
SHOWN = 5  # of what is wrong
COLUMNS = "ip, country_code, country_name, asn, org, last_seen"

Row = tuple[object, ...]  # of COLUMNS, but for the key
Changes = Mapping[str, str | None]  # by the row's key: the country that it gets, None where it goes


def address(network: int, number: int) -> str:
    return f"8.8.{network}.{number}"


UNRESOLVED, STALE, HALF_KNOWN, UNHEARD_OF, NEW = range(1, 6)  # networks
NOBODY_KNOWS = "2001:4860::1"

# What an earlier stop could not write is in unwritten.json, all of it in SE. A country that a row has stays.
WAITING: Changes = {
    **{address(HALF_KNOWN, n): "SE" if n % 2 else "AQ" for n in range(FEW)},
    **{address(UNHEARD_OF, n): "SE" for n in range(MANY)},
}
DONE_BY: Mapping[str, Changes] = {
    "geo_cache_flush": WAITING,
    "geo_re_resolve": {**WAITING, **{address(UNRESOLVED, n): "US" for n in range(MANY)}},
    "geo_cache_cleanup": {**WAITING, **{address(STALE, n): None for n in range(MANY)}},
    "session_cleanup": {},
}
EXPIRED = {f"expired {n}" for n in range(MANY)}
LIVE = {f"live {n}" for n in range(FEW)}


def with_work(place: Installation, *, settled: bool = True) -> Installation:
    """Give an installation in which each job has something to do; ``settled`` are the names of countries, or not."""
    place.make()
    place.configure({"api.enabled": True}, every("1h"))
    seen = text(-HOUR)
    place.insert(
        rows=[
            *((address(UNRESOLVED, n), None, seen) for n in range(MANY)),
            (NOBODY_KNOWS, None, seen),
            *((address(STALE, n), "US", LONG_AGO) for n in range(MANY)),
            *((address(HALF_KNOWN, n), None if n % 2 else "AQ", seen) for n in range(FEW)),
        ],
        sessions=[*((token, LONG_AGO) for token in EXPIRED), *((token, text(HOUR)) for token in LIVE)],
    )
    place.leave_unwritten(*WAITING)
    for job in JOBS:
        place.ran(job, LATELY)
    if settled:
        place.settle_names()
    return place


def copy_of(place: Installation, home: "Path") -> Installation:
    """Copy an installation that nobody works on, with the log that was left, but without what SQLite makes of that."""
    copy = Installation(home)
    shutil.copytree(place.state, copy.state)
    for path in place.home.glob("bangui.db*"):
        if not path.name.endswith("-shm"):
            shutil.copy(path, home)
    copy.configure({"api.enabled": True}, every("1h"))
    return copy


class Found(NamedTuple):
    """What there is in the tables and in the state directory."""

    rows: dict[str, Row]
    tokens: set[str]
    unwritten: set[str]
    last_success: dict[str, datetime]

    @staticmethod
    def at(place: Installation, connection: "Connection") -> "Found":
        """Look at a place through a connection to its database, which is whole."""
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return Found(
            {ip: tuple(row) for ip, *row in connection.execute(f"SELECT {COLUMNS} FROM geo_cache")},
            {token for (token,) in connection.execute("SELECT token FROM sessions")},
            unwritten(place),
            {job: record["last_success"] for job, record in tomllib.loads(place.history.read_text())["jobs"].items()},
        )


def unwritten(place: Installation) -> set[str]:
    """Return the addresses in unwritten.json."""
    if not place.unwritten.exists():
        return set()
    return {entry["ip"] for entry in json.loads(place.unwritten.read_text())["entries"]}


class Model(NamedTuple):
    """What must be there: all that was before, but for what a job does."""

    before: Found
    changes: Changes
    tokens: set[str]  # those that stay
    noted: frozenset[str]  # the jobs whose success is noted

    @staticmethod
    def of(place: Installation, *jobs: str) -> "Model":
        """Make the model of a place that has work, in which these jobs will have run; nobody has worked there yet."""
        with place.connection() as connection:
            before = Found.at(place, connection)
        return Model(
            before,
            {ip: country for job in jobs for ip, country in DONE_BY[job].items()},
            LIVE if "session_cleanup" in jobs else LIVE | EXPIRED,
            frozenset(jobs) - {"geo_cache_flush"},  # it runs too often for that
        )

    def assert_nothing_is_lost(self, now: Found) -> None:
        """Look that every row is as it was or as it is to be, and that what is not written yet is still in the file."""
        for ip in now.rows.keys() | self.before.rows.keys() | self.changes.keys():
            assert now.rows.get(ip) == self.before.rows.get(ip) or self._is_done(ip, now), (ip, now.rows.get(ip))
        waiting = {ip for ip in self.changes if ip in WAITING and not self._is_done(ip, now)}
        assert waiting <= now.unwritten, f"neither written nor kept: {sorted(waiting - now.unwritten)[:SHOWN]}"
        assert self.tokens <= now.tokens, f"live sessions are gone: {sorted(self.tokens - now.tokens)[:SHOWN]}"
        self._assert_is_noted(now, optional=True)

    def assert_is_done(self, now: Found) -> None:
        """Look that every row, session and note of a success is as it is to be."""
        gone = {ip for ip, country in self.changes.items() if country is None}
        differing = now.rows.keys() ^ ((self.before.rows.keys() | self.changes.keys()) - gone)
        assert not differing, f"there or missing, and should not: {sorted(differing)[:SHOWN]}"
        for ip, row in now.rows.items():
            assert self._is_done(ip, now) if ip in self.changes else row == self.before.rows[ip], (ip, row)
        assert now.tokens == self.tokens, f"sessions: {sorted(now.tokens ^ self.tokens)[:SHOWN]}"
        self._assert_is_noted(now)

    def _is_done(self, ip: str, now: Found) -> bool:
        """Say whether a row is as a job is to leave it; one that no job changes never is."""
        before, row = self.before.rows.get(ip), now.rows.get(ip)
        if ip not in self.changes:
            return False
        if row is None:
            return self.changes[ip] is None
        is_no_older = before is None or _time(row[-1]) >= _time(before[-1])
        return row[0] == self.changes[ip] and is_no_older

    def _assert_is_noted(self, now: Found, *, optional: bool = False) -> None:
        """Look that the runs that are to be noted are, and nothing else is."""
        assert now.last_success.keys() == self.before.last_success.keys()
        later = {job for job, at in now.last_success.items() if at > self.before.last_success[job]}
        assert later == self.noted or (optional and not later), f"noted as run: {later}"
        assert all(at >= self.before.last_success[job] for job, at in now.last_success.items())


def _time(value: object) -> datetime:
    return datetime.fromisoformat(str(value))
