"""The real daemon with its intervals cut short, beside a busy web app; both are restarted and killed on the way.

With BANGEOD_TESTS_SOAK=1 the intervals are the defaults divided by 600, and ten minutes are four days.
"""

import signal
import time
from contextlib import closing
from typing import Any, Final

from bangeod.client import GeoClient
from bangeod.clock import SECONDS_A_DAY
from bangeod.store import times as stored_times
from tests.conftest import Start
from tests.daemon_process import DaemonProcess
from tests.faults.busy_web_app import REGULARS, BusyWebApp, Report
from tests.faults.siege import Process, troubles
from tests.faults.soak import times
from tests.feed import DEADLINE, eventually
from tests.installation import Installation

INTERVALS: Final = {
    "geo_cache_flush": 0.1,
    "geo_re_resolve": 1.0,
    "geo_cache_cleanup": times(2.0, 144.0),
    "session_cleanup": times(1.0, 36.0),
}
LIFETIME: Final = times(5, 200)  # seconds that rows and sessions last at most
TURBULENT: Final = times(4, 6)  # runs of session_cleanup, after each of which something is restarted or killed
CALM: Final = times(4, 6)  # and without that
WARM_UP: Final = times(1, 2)  # of the calm ones
PUNCTUAL: Final = times(0.3, 0.8)  # the share of runs that there are at least: CI's machines have other work
MOST_GROWTH: Final = 12.0  # MiB, of memory in use
SETTINGS: Final[dict[str, object]] = {
    **{f"jobs.{job}.interval": f"{interval * 1000:.0f}ms" for job, interval in INTERVALS.items()},
    "jobs.geo_cache_cleanup.retention_days": 1,
    "api.enabled": True,
    "log.level": "info",
    "database.busy_timeout": "5s",
}


class Days:
    """The daemon of the moment, the web app of the moment, and what is known of those before."""

    def __init__(self, place: Installation, start: Start) -> None:
        self.place = place
        self._start = start
        self._socket = place.home / "bangeod.sock"
        self.daemon = self._begin()

    def _begin(self) -> DaemonProcess:
        self._began = time.monotonic()
        daemon: DaemonProcess = self._start(SETTINGS)
        return daemon

    def web_app(self) -> BusyWebApp:
        """Return a web app; it works while it is entered."""
        return BusyWebApp(self.place.database, self._socket, LIFETIME)

    def pass_time(self) -> None:
        """Wait until the sessions are cleaned up again."""
        interval = INTERVALS["session_cleanup"]
        self.daemon.wait_for("session_cleanup_ran", since=self.daemon.mark(), timeout=2 * interval + DEADLINE)

    def restart(self, number: signal.Signals) -> None:
        """End the daemon, after a look at how often its jobs ran, and start it again."""
        self.check_runs()
        self.daemon.send(number)
        assert self.daemon.ended() == (0 if number is signal.SIGTERM else -number)
        assert troubles(self.daemon.lines()) == []
        self.daemon = self._begin()

    def check_runs(self) -> None:
        """See that each job ran as often as it should have in this life, and never in vain."""
        with GeoClient(str(self._socket), timeout=DEADLINE, strict=True) as client:
            jobs: list[dict[str, Any]] = client.status()["jobs"]
        lived = time.monotonic() - self._began
        for job in jobs:
            interval = INTERVALS[job["id"]]
            assert job["failures"] == 0, job
            # One more for the part of an interval, one that may be under way, one that was due while it was down.
            assert PUNCTUAL * (lived - 10) / interval - 2 <= job["runs"] <= lived / interval + 3, job

    def check_tables(self) -> None:
        """See that what has expired, or is stale, by now is soon gone from both tables."""
        limit = 2 * INTERVALS["geo_cache_cleanup"] + DEADLINE
        now = int(time.time())
        eventually(lambda: self._overdue("sessions", "expires_at", now) == 0, "expired sessions go", timeout=limit)
        stale = now - SECONDS_A_DAY
        eventually(lambda: self._overdue("geo_cache", "last_seen", stale) == 0, "stale rows go", timeout=limit)

    def _overdue(self, table: str, column: str, before: int) -> int:
        values = self.place.execute(f"SELECT {column} FROM {table}")
        return sum((stored_times.whole_seconds(value) or 0) < before for (value,) in values)


def test_days_of_life_lose_nothing_and_let_nothing_grow(place: Installation, start: Start) -> None:
    days = Days(place, start)
    for turn in range(TURBULENT):
        with days.web_app() as web_app:
            days.pass_time()
            if turn % 2:
                days.restart(signal.SIGKILL if turn % 4 == 1 else signal.SIGTERM)
                days.pass_time()
            if turn % 3:  # else it is killed
                _check_report(web_app.finish())
    days.check_tables()
    process = Process(days.daemon.process.pid)
    with days.web_app() as web_app:
        for turn in range(CALM):
            if turn == WARM_UP:
                memory, descriptors, entries = process.resident(), process.descriptors(), _entries(days)
            days.pass_time()
        days.check_tables()
        assert process.resident() - memory < MOST_GROWTH
        eventually(lambda: process.descriptors() <= descriptors, "no more files are open than before")
        assert _entries(days) <= entries + LIFETIME / 0.02 + len(REGULARS)
        report = web_app.finish()
        _check_report(report)
        assert report.answers["unknown"] == 0
    days.restart(signal.SIGTERM)
    assert set(REGULARS) >= {ip for ip in place.countries() if ip.startswith("8.8.")} != set()


def _check_report(report: Report) -> None:
    """See that a web app had work to do and lost nothing of it."""
    assert report.lost == []
    assert report.sessions > 0
    assert report.answers["resolved"] > 0


def _entries(days: Days) -> int:
    """Return how many addresses the daemon has in memory."""
    with closing(GeoClient(str(days.place.home / "bangeod.sock"), timeout=DEADLINE, strict=True)) as client:
        entries: int = client.status()["cache"]["entries"]
        return entries
