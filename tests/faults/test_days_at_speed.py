"""The real daemon with its intervals cut short, beside a busy web app; both are restarted and killed on the way.

By default it is some half a minute. That shows that each job runs as often as its interval says, that what it has to
delete goes with the run that has to delete it, that memory holds no address without a row, and that no lookup leaves
anything behind: tens of thousands of them pass while memory is watched. With BANGEOD_TESTS_SOAK=1 the intervals are
the defaults divided by 600, and ten minutes are four days. Only that shows that the real proportions hold together,
and that nothing stays of a row that comes and goes: the tens of thousands of rows that a leak takes to be seen among
the noise of the allocator are in it alone.
"""

import signal
import time
from contextlib import closing
from datetime import datetime
from typing import Final

from bangeod.client import GeoClient
from bangeod.clock import SECONDS_A_DAY
from bangeod.store import times as stored_times
from tests.conftest import Start
from tests.faults import punctual
from tests.faults.siege import Process, troubles
from tests.faults.soak import times
from tests.support.daemon.installation import Installation
from tests.support.daemon.process import DaemonProcess
from tests.support.feed import DEADLINE, eventually
from tests.support.web_app.habits import REGULARS, Habits, Report
from tests.support.web_app.web_app import WebApp

INTERVALS: Final = {
    "geo_cache_flush": 0.1,
    "geo_re_resolve": 1.0,
    "geo_cache_cleanup": times(2.0, 144.0),
    "session_cleanup": times(1.0, 36.0),
}
LIFETIME: Final = times(6, 60)  # seconds that rows and sessions last at most, and half of it at least
TURBULENT: Final = 4  # runs of session_cleanup, after each of which something is restarted or killed
WARM_UP: Final = times(2, 1)  # runs of geo_cache_cleanup: the tables, and so memory, are at their largest before one
CALM: Final = times(8, 2)  # as above, while memory is watched
MOST_GROWTH: Final = 3.0  # MiB, of memory in use; up to 0.3 were measured, 0.4 in the soak
STALLS: Final = 10  # times at most that the web app stands still for half a LIFETIME, within a lookup
SETTINGS: Final[dict[str, object]] = {
    **{f"jobs.{job}.interval": f"{interval * 1000:.0f}ms" for job, interval in INTERVALS.items()},
    "jobs.geo_cache_cleanup.retention_days": 1,
    "api.enabled": True,
    "log.level": "debug",  # so that each run of the cleanups has its line, also where nothing was to be deleted
    "database.busy_timeout": "5s",
}


class Days:
    """The daemon of the moment, the web app of the moment, and what is known of those before."""

    def __init__(self, place: Installation, start: Start) -> None:
        self.place = place
        self._start = start
        self._socket = place.home / "bangeod.sock"
        self._lives: list[punctual.Span] = []
        self._began = time.monotonic()
        self.daemon = self._begin()

    def _begin(self) -> DaemonProcess:
        launched = time.monotonic()
        daemon: DaemonProcess = self._start(SETTINGS)
        self._birth = punctual.at_start(launched)
        return daemon

    def web_app(self) -> WebApp:
        """Return a web app; it works while it is entered."""
        return WebApp(self.place.database, Habits(every=0.02, socket=str(self._socket), lifetime=LIFETIME))

    def read(self) -> punctual.Reading:
        """Return what the daemon's status says."""
        with closing(GeoClient(str(self._socket), timeout=DEADLINE, strict=True)) as client:
            return punctual.read(client)

    def pass_time(self, job_id: str = "session_cleanup") -> None:
        """Wait until a job has run again, and look at what it had to delete."""
        timeout = 2 * INTERVALS[job_id] + DEADLINE
        self.daemon.wait_for(f"{job_id}_ran", since=self.daemon.mark(), timeout=timeout)
        self.check_tables()

    def end(self, number: signal.Signals) -> None:
        """End the daemon, after a look at how often its jobs ran."""
        life = punctual.between(self._birth, self.read())
        punctual.check(life, INTERVALS)
        self._lives.append(life)
        self.daemon.send(number)
        assert self.daemon.ended() == (0 if number is signal.SIGTERM else -number)
        assert troubles(self.daemon.lines()) == []

    def restart(self, number: signal.Signals) -> None:
        """End the daemon and start it again."""
        self.end(number)
        self.daemon = self._begin()

    def check_lives(self) -> None:
        """See that each job ran as often as it should have over all lives; the last one must have ended."""
        punctual.check_lives(self._lives, time.monotonic() - self._began, INTERVALS)

    def check_tables(self) -> None:
        """See that both tables hold nothing that the last run of their job had to delete."""
        expired = self._latest("session_cleanup_ran", "cutoff_time", 1)
        if expired is not None:
            assert self._times("sessions", "expires_at", upto=expired) == []
        # When a run began is not in its line; it was after the end of the run before it.
        stale = self._latest("geo_cache_cleanup_ran", "timestamp", 2)
        if stale is not None:
            assert self._times("geo_cache", "last_seen", upto=stale - SECONDS_A_DAY - 1) == []

    def _latest(self, event: str, key: str, place: int) -> int | None:
        """Return the time in one of the daemon's latest lines, in whole seconds."""
        lines = self.daemon.lines(event)
        return int(datetime.fromisoformat(lines[-place][key]).timestamp()) if len(lines) >= place else None

    def _times(self, table: str, column: str, *, upto: int) -> list[int]:
        values = [
            stored_times.whole_seconds(value) or 0 for (value,) in self.place.execute(f"SELECT {column} FROM {table}")
        ]
        return sorted(value for value in values if value <= upto)

    def rows(self) -> set[str]:
        """Return the addresses that have a row."""
        return set(self.place.countries())

    def used(self) -> set[str]:
        """Return the addresses whose rows say that the daemon was asked about them: the web app writes no such time."""
        today = time.time() - SECONDS_A_DAY / 2
        rows = self.place.execute("SELECT ip, last_seen FROM geo_cache")
        return {ip for ip, seen in rows if (stored_times.whole_seconds(seen) or 0) > today}


def test_days_of_life_lose_nothing_and_let_nothing_grow(place: Installation, start: Start) -> None:
    days = Days(place, start)
    for turn in range(TURBULENT):
        with days.web_app() as web_app:
            days.pass_time()
            if turn % 2:
                days.restart(signal.SIGKILL if turn == 1 else signal.SIGTERM)
                days.pass_time()
            if turn % 3:
                _check_report(web_app.finish())
            else:
                web_app.kill()
    with days.web_app() as web_app:
        _pass_calmly(days)
        report = web_app.finish()
    _check_report(report)
    assert report.answers["unknown"] == 0
    _check_memory_holds_rows(days)
    days.end(signal.SIGTERM)
    days.check_lives()
    assert set(REGULARS) <= days.used()
    assert len(days.used()) <= len(REGULARS) + STALLS


def _pass_calmly(days: Days) -> None:
    """Let the web app and the daemon work side by side, and see that the daemon takes no more for it."""
    for _ in range(WARM_UP):
        days.pass_time("geo_cache_cleanup")
    process = Process(days.daemon.process.pid)
    before, memory, descriptors = days.read(), process.resident(), process.descriptors()
    for _ in range(CALM):
        days.pass_time("geo_cache_cleanup")
    after, growth = days.read(), process.resident() - memory
    span = punctual.between(before, after)
    print(f"calm: {span}; {growth:.2f} MiB more in use, {descriptors} descriptors, {after.entries} entries")
    punctual.check(span, INTERVALS)
    assert growth < MOST_GROWTH
    eventually(lambda: process.descriptors() <= descriptors, "no more files are open than before")


def _check_memory_holds_rows(days: Days) -> None:
    """See that the daemon holds nothing in memory but what has a row; nobody may add any now."""
    rows = days.rows()  # before: what is deleted meanwhile may still be in memory for a moment
    reading = days.read()
    assert 0 < reading.entries <= len(rows) + reading.dirty


def _check_report(report: Report) -> None:
    """See that a web app had work to do and lost nothing of it."""
    assert report.lost == []
    assert report.sessions > 0
    assert report.answers["resolved"] > 0
