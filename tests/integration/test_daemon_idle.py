"""What a daemon does to the disk while there is nothing to do: its jobs run, and nothing is written."""

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.conftest import Start
from tests.support.daemon.installation import Installation, every
from tests.support.daemon.process import DaemonProcess, bangeod
from tests.support.feed import eventually

RUNS = 10  # of each job: at the default intervals an hour and a half of the retries, and days of the cleanups


def written(daemon: DaemonProcess) -> int:
    """Return how many bytes the daemon has caused to be written to a disk so far (proc_pid_io(5))."""
    fields = dict(line.split(": ") for line in Path(f"/proc/{daemon.process.pid}/io").read_text().splitlines())
    return int(fields["write_bytes"])


def traces(place: Installation) -> dict[str, tuple[int, int]]:
    """Return what of each file changes by a write: a file system in memory counts no bytes."""
    return {
        str(path): (path.stat().st_mtime_ns, path.stat().st_ino) for path in place.home.rglob("*") if path.is_file()
    }


def ran(daemon: DaemonProcess) -> int:
    """Return how often the job that runs least often has run with nothing to do."""
    return min(
        len(daemon.lines(event)) for event in ("geo_re_resolve_skip", "geo_cache_cleanup_ran", "session_cleanup_ran")
    )


@pytest.mark.skipif(not os.access("/proc/self/io", os.R_OK), reason="the kernel does not count what is written")
def test_jobs_that_find_nothing_to_do_write_nothing(start: Start, place: Installation) -> None:
    """Nor do they in the WAL of a web app that has the database open, or in its index."""
    daemon = start(every("100ms"))
    with place.connection() as web_app:
        web_app.execute(
            "INSERT INTO geo_cache (ip, country_code, last_seen) VALUES ('9.9.9.9', 'US', '2199-01-01T00:00:00Z')"
        )
        runs = ran(daemon)
        eventually(lambda: ran(daemon) >= runs + 2, "the first runs of each job, which are noted")
        files = traces(place)
        subprocess.run(["sync", *files], check=True)  # what waits to be written out is not counted again
        before, runs = written(daemon), ran(daemon)
        eventually(lambda: ran(daemon) >= runs + RUNS, "more runs of each job")
        assert written(daemon) - before == 0
        assert traces(place) == files


def test_what_waited_to_be_saved_is_saved_at_the_stop(start: Start, place: Installation) -> None:
    daemon = start(every("100ms"))
    eventually(lambda: ran(daemon) >= 2, "the first runs of each job, which are noted")
    noted = place.history.stat().st_mtime_ns
    eventually(lambda: ran(daemon) >= RUNS, "more runs of each job")
    assert place.history.stat().st_mtime_ns == noted
    assert daemon.stop() == 0
    assert place.history.stat().st_mtime_ns > noted


def test_jobs_that_find_nothing_to_do_say_no_more_than_that_logins_were_looked_at(
    start: Start, place: Installation
) -> None:
    """Even of those there are four lines a day, at the default interval."""
    place.insert(rows=[("9.9.9.9", "US", "2199-01-01T00:00:00Z")])
    daemon = start(every("100ms"), {"log.level": "info"})
    since = daemon.mark()
    eventually(lambda: len(daemon.lines("session_cleanup_ran")) >= RUNS, "runs of the jobs")
    assert {line["event"] for line in daemon.lines(since=since)} == {"session_cleanup_ran"}


@pytest.mark.parametrize("answers", [True, False], ids=["a daemon that answers", "its socket closed"])
def test_jobs_are_listed_with_what_a_daemon_that_answers_has_not_saved_yet(
    start: Start, place: Installation, *, answers: bool
) -> None:
    began = datetime.now(UTC).replace(microsecond=0)
    daemon = start(every("100ms"), {"api.enabled": answers})
    eventually(lambda: ran(daemon) >= 2, "the first runs of each job, which are noted")
    for job in ("geo_re_resolve", "session_cleanup"):
        place.ran(job, timedelta(minutes=50))  # as if that had been saved last
    listed = bangeod("job", "list", "--json", "--config", str(place.config))
    told = {job["id"]: job["last_success"] for job in json.loads(listed.stdout)}
    for job in ("geo_re_resolve", "session_cleanup"):
        assert (datetime.fromisoformat(told[job]) >= began) is answers
    assert told["geo_cache_flush"] is None
