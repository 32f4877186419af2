"""The wall clock steps beneath the daemon, or the machine sleeps: jobs keep their intervals and nothing runs twice.

The monotonic clock goes on as ever: Linux stops it for the time of a suspend, so that SIGSTOP and a step of the wall
clock together are like one.
"""

import signal
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bangeod.client import GeoClient
from tests.conftest import Start
from tests.support.daemon import broken_within
from tests.support.daemon.installation import JOBS, Installation, every, text
from tests.support.daemon.notify_socket import NotifySocket
from tests.support.daemon.process import DaemonProcess
from tests.support.fake_clock import FakeClock, library
from tests.support.feed import DEADLINE, eventually
from tests.support.mmdb.published import NotToBeHadError, default_cache

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
NEAR = timedelta(seconds=20)
LIMIT = 12  # seconds, of the watchdog: it is fed every four, and the clocks are looked at every five
LONG_LIMIT = 3_600  # fed every 20 min: a ping before that is one more
OFTEN = every("100ms")
A_FEW = 3  # runs
# Steps the clock back by a day once the jobs are planned, and before the daemon is ready.
STEP_AT_THE_START = """
from pathlib import Path
from bangeod.service.local_api import LocalApi

apply = LocalApi.apply

async def step_and_apply(self):
    part = Path("{file}.part")
    part.write_text("-86400.0")
    part.rename("{file}")
    await apply(self)

LocalApi.apply = step_and_apply
"""
LONG_AGO = datetime(1970, 1, 1, 0, 0, 10, tzinfo=UTC)


Begin = Callable[..., "Scene"]


@pytest.fixture(scope="session")
def libfaketime() -> Path:
    try:
        return library(default_cache())
    except NotToBeHadError as error:
        pytest.skip(str(error))


@pytest.fixture
def clock(libfaketime: Path, tmp_path: Path) -> FakeClock:
    return FakeClock(libfaketime, tmp_path / "clock")


class Scene:
    """A daemon with a clock of its own."""

    def __init__(self, daemon: DaemonProcess, place: Installation, clock: FakeClock, systemd: NotifySocket) -> None:
        self.daemon = daemon
        self.place = place
        self.clock = clock
        self.systemd = systemd

    def step(self, by: timedelta) -> None:
        """Step the clock and wait until that was noticed."""
        since = self.daemon.mark()
        self.clock.step(by)
        line = self.daemon.wait_for("clock_stepped", since=since)
        assert abs(line["seconds"] - by.total_seconds()) < NEAR.total_seconds()

    def jobs(self) -> dict[str, Mapping[str, Any]]:
        """Return how each job stands."""
        with GeoClient(str(self.place.socket), timeout=DEADLINE, strict=True) as client:
            return {job["id"]: job for job in client.status()["jobs"]}

    def wait_for_runs(self, **expected: int) -> None:
        """Wait until each job has run so often since the start, and never more often."""
        eventually(lambda: self._runs() == expected, f"runs are {expected}")
        for job_id, job in self.jobs().items():
            off = datetime.fromisoformat(job["next_run"]) - self.clock.now()
            assert NEAR < off <= timedelta(seconds=job["interval"]), job_id
        assert self._runs() == expected

    def _runs(self) -> dict[str, int]:
        return {job_id: job["runs"] for job_id, job in self.jobs().items()}

    def add_sessions(self, **ends: timedelta) -> None:
        """Let there be sessions that end so long from now, by the daemon's clock."""
        now = self.clock.now()
        self.place.insert(sessions=[(name, (now + end).isoformat()) for name, end in ends.items()])

    def wait_for_more_runs(self) -> None:
        """Wait until each job has run a few times more."""
        wanted = {job_id: runs + A_FEW for job_id, runs in self._runs().items()}
        assert wanted.keys() == set(JOBS)
        eventually(
            lambda: all(runs >= wanted[job_id] for job_id, runs in self._runs().items()), "more runs of each job"
        )


@pytest.fixture
def begin(start: Start, place: Installation, clock: FakeClock, systemd: NotifySocket) -> Begin:
    """Give a function that starts a daemon whose jobs, the flush aside, have last run an hour or a minute ago."""

    def begin(*changes: dict[str, object], limit: int = LIMIT, **more: str) -> Scene:
        place.ran("geo_cache_cleanup", HOUR)
        place.ran("session_cleanup", HOUR)
        place.ran("geo_re_resolve", MINUTE)
        environ = {"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": str(limit * 1_000_000), **clock.environ}
        environ |= more
        return Scene(start({"api.enabled": True}, *changes, environ=environ), place, clock, systemd)

    return begin


def test_after_a_step_back_of_a_day_jobs_and_pings_go_on(begin: Begin) -> None:
    scene = begin(OFTEN)
    scene.add_sessions(ended=-HOUR, lives=HOUR)
    scene.wait_for_more_runs()
    began = time.monotonic()
    scene.step(-DAY)
    scene.wait_for_more_runs()
    seen = scene.systemd.mark()
    for _ in range(2):
        scene.systemd.wait_for("WATCHDOG", since=seen)
        seen = scene.systemd.mark()
    assert scene.systemd.longest_silence(began) < LIMIT
    assert scene.place.tokens() == {"lives"}
    assert scene.daemon.stop() == 0


def test_after_a_step_forward_of_a_day_each_job_runs_once_and_no_live_session_goes(begin: Begin) -> None:
    scene = begin()
    scene.add_sessions(ends_today=12 * HOUR, ends_tomorrow=36 * HOUR, ends_after_the_step=DAY + HOUR)
    scene.step(DAY)
    scene.wait_for_runs(**dict.fromkeys(JOBS, 1))
    assert scene.place.tokens() == {"ends_tomorrow", "ends_after_the_step"}
    scene.step(-DAY)  # somebody saw to the clock
    scene.wait_for_runs(**dict.fromkeys(JOBS, 1))
    assert scene.place.tokens() == {"ends_tomorrow", "ends_after_the_step"}
    assert scene.daemon.stop() == 0


def test_after_a_suspend_what_was_due_runs_once_and_the_watchdog_is_fed_at_once(begin: Begin) -> None:
    scene = begin(limit=LONG_LIMIT)
    scene.add_sessions(ended=4 * HOUR, lives=9 * HOUR)
    scene.systemd.wait_for("WATCHDOG")
    scene.daemon.send(signal.SIGSTOP)
    eventually(lambda: is_stopped(scene.daemon.process.pid), "the daemon sleeps")
    seen = scene.systemd.mark()
    scene.clock.step(8 * HOUR)
    scene.daemon.send(signal.SIGCONT)
    scene.systemd.wait_for("WATCHDOG", since=seen)
    scene.wait_for_runs(geo_cache_flush=1, geo_re_resolve=1, geo_cache_cleanup=0, session_cleanup=1)
    assert scene.place.tokens() == {"lives"}
    assert scene.daemon.stop() == 0


def test_a_clock_that_jumps_to_1970_and_back_costs_nothing(begin: Begin) -> None:
    scene = begin(OFTEN)
    scene.place.insert(rows=[("8.8.8.8", "US", text())])
    scene.add_sessions(ended=-HOUR, lives=HOUR)
    scene.wait_for_more_runs()
    began = time.monotonic()
    there = LONG_AGO - scene.clock.now()
    scene.step(there)
    scene.wait_for_more_runs()
    scene.step(-there)
    scene.wait_for_more_runs()
    assert scene.systemd.longest_silence(began) < LIMIT
    assert scene.place.tokens() == {"lives"}
    assert scene.place.countries() == {"8.8.8.8": "US"}
    assert scene.daemon.stop() == 0
    assert not [line for line in scene.daemon.lines() if line["level"] == "error"]


def test_a_clock_that_jumps_to_1970_and_back_leaves_one_run_to_catch_up(begin: Begin) -> None:
    scene = begin()
    there = LONG_AGO - scene.clock.now()
    scene.step(there)
    scene.wait_for_runs(**dict.fromkeys(JOBS, 0))
    scene.step(-there)
    scene.wait_for_runs(**dict.fromkeys(JOBS, 1))
    assert scene.daemon.stop() == 0


def test_after_a_step_back_during_the_start_jobs_and_pings_go_on(
    begin: Begin, clock: FakeClock, tmp_path: Path
) -> None:
    scene = begin(OFTEN, **broken_within.put(STEP_AT_THE_START.format(file=clock.file), tmp_path / "site"))
    assert scene.daemon.wait_for("clock_stepped")["seconds"] < -80_000
    scene.wait_for_more_runs()
    scene.systemd.wait_for("WATCHDOG", since=scene.systemd.mark())
    assert scene.daemon.stop() == 0


def is_stopped(pid: int) -> bool:
    return "\nState:\tT" in Path(f"/proc/{pid}/status").read_text()
