"""Runs that were due while the daemon was down, and the file that remembers when each job last succeeded."""

import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.conftest import Start
from tests.support.daemon.installation import Installation, every, text
from tests.support.daemon.process import DaemonProcess, bangeod
from tests.support.feed import eventually

pytestmark = pytest.mark.usefixtures("late_mmdb")  # what it waits for can come while these run

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
STALE = ("8.8.8.8", "US", "2001-01-01T00:00:00Z")


@pytest.fixture(scope="module", autouse=True)
def without_a_record(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """Give a daemon that starts for the first time; what it does takes it seconds, so that other tests go first."""
    place = Installation(tmp_path_factory.mktemp("first") / "bangeod")
    place.make()
    place.insert(rows=[STALE, ("1.1.1.1", None, text())], sessions=[("expired", text(-HOUR))])
    with DaemonProcess(place.config) as daemon:
        yield daemon


def test_a_run_that_was_due_while_the_daemon_was_down_is_made_up_for_and_no_other(
    start: Start, place: Installation
) -> None:
    """Made-up runs come in the order of the jobs: where the last one has run, an earlier one won't come."""
    place.insert(rows=[STALE, ("1.1.1.1", None, text())], sessions=[("expired", text(-HOUR))])
    place.ran("geo_re_resolve", 9 * MINUTE)
    place.ran("geo_cache_cleanup", 23 * HOUR)
    place.ran("session_cleanup", 7 * HOUR)
    for _ in range(2):  # restarted often, and each time stopped before it got round to it
        assert start().stop() == 0
    daemon = start()
    assert daemon.wait_for("session_cleanup_ran")["deleted_count"] == 1
    assert not daemon.lines("geo_cache_cleanup_ran")
    assert not daemon.lines("geo_re_resolve_start")
    assert daemon.stop() == 0
    assert place.countries().keys() == {"8.8.8.8", "1.1.1.1"}


def test_without_a_record_the_cleanups_run_soon_and_the_retries_wait(without_a_record: DaemonProcess) -> None:
    without_a_record.wait_for("geo_cache_cleanup_ran", deleted=1)
    without_a_record.wait_for("session_cleanup_ran", deleted_count=1)
    assert not without_a_record.lines("geo_re_resolve_start")


def test_the_time_of_a_success_is_kept(start: Start, place: Installation) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    daemon = start(every("100ms"))
    jobs = {"geo_re_resolve", "geo_cache_cleanup", "session_cleanup"}  # the flush is due every minute anyway
    eventually(lambda: place.history.exists() and set(_last_successes(place)) == jobs, "all three are noted")
    assert daemon.stop() == 0
    assert all(before <= at <= datetime.now(UTC) for at in _last_successes(place).values())


def test_a_run_that_failed_is_not_noted(start: Start, place: Installation) -> None:
    place.execute("DROP TABLE sessions")
    daemon = start(every("100ms"))
    daemon.wait_for("job_failed", job_id="session_cleanup")
    eventually(lambda: place.history.exists() and "geo_cache_cleanup" in _last_successes(place), "one is noted")
    assert daemon.stop() == 0
    assert "session_cleanup" not in _last_successes(place)


def test_a_history_that_cannot_be_read_is_reported_kept_aside_and_begun_anew(start: Start, place: Installation) -> None:
    place.history.write_text("[jobs.session_cleanup]\nlast_success = yesterday\n")
    daemon = start(every("100ms"))
    line = daemon.wait_for("state_unreadable")
    assert (line["level"], line["path"]) == ("warning", str(place.history))
    assert line["kept_as"] == f"{place.history}.bad"
    eventually(lambda: place.history.exists() and "session_cleanup" in _last_successes(place), "begun anew")


def test_a_run_by_hand_counts_as_well(place: Installation) -> None:
    assert bangeod("job", "run", "session_cleanup", "--config", str(place.config)).returncode == 0
    assert "session_cleanup" in _last_successes(place)


def _last_successes(place: Installation) -> dict[str, datetime]:
    return {job: record["last_success"] for job, record in tomllib.loads(place.history.read_text())["jobs"].items()}
