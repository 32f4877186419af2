"""What never ends: a statement, a request, a thread, the whole process. One job's hang is not the others'."""

import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bangeod.client import GeoClient
from bangeod.errors import NoDaemonError
from tests.conftest import Start
from tests.faults.soak import times
from tests.support.daemon import broken_within
from tests.support.daemon.installation import JOBS, Installation, every, text
from tests.support.daemon.notify_socket import NotifySocket
from tests.support.daemon.process import DaemonProcess
from tests.support.feed import DEADLINE, eventually
from tests.support.mmdb.files import write_mmdb
from tests.support.web_app.habits import Habits
from tests.support.web_app.web_app import WebApp

pytestmark = pytest.mark.usefixtures("trickling")  # what it waits for can come while these run

HERE = "SE"
LIMIT = 6  # seconds, of the watchdog; it is fed every two
OFTEN = every("100ms")
FAILURES = ("job_failed", "job_timed_out")

ENDLESS = "CREATE VIEW endless AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
STUCK = "CREATE TRIGGER stuck AFTER {event} ON {table} BEGIN SELECT count(*) FROM endless; END"


@pytest.fixture
def mmdb(tmp_path: Path) -> dict[str, object]:
    """Give the settings of a daemon that knows all addresses of 20.0.0.0/8, and answers."""
    file = write_mmdb(tmp_path / "country.mmdb", {"20.0.0.0/8": {"country_code": HERE}})
    return {"geo.mmdb": [str(file)], "geo.embedded": False, "api.enabled": True}


@pytest.fixture
def environ(systemd: NotifySocket) -> dict[str, str]:
    return {"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": str(LIMIT * 1_000_000)}


@pytest.fixture
def begin(start: Start, mmdb: dict[str, object], environ: dict[str, str]) -> Callable[..., DaemonProcess]:
    """Give a function that starts a daemon whose jobs run often, with systemd at the other end."""

    def begin(*changes: dict[str, object], **more: str) -> DaemonProcess:
        return start(OFTEN, mmdb, *changes, environ={**environ, **more})

    return begin


@pytest.fixture
def asking(place: Installation) -> WebApp:
    return WebApp(habits=Habits(socket=str(place.socket), asks=["20.2"]))


def failed(daemon: DaemonProcess) -> set[str]:
    """Return the jobs that have not ended well."""
    return {line["job_id"] for event in FAILURES for line in daemon.lines(event)}


@pytest.mark.parametrize(
    ("job", "event", "table", "other"),
    [
        ("session_cleanup", "DELETE", "sessions", "geo_cache_cleanup_ran"),
        ("geo_cache_flush", "INSERT", "geo_cache", "session_cleanup_ran"),
    ],
)
def test_a_statement_that_never_ends_is_interrupted_and_nothing_of_it_stays(
    begin: Callable[..., DaemonProcess],
    place: Installation,
    systemd: NotifySocket,
    asking: WebApp,
    *,
    job: str,
    event: str,
    table: str,
    other: str,
) -> None:
    place.insert(sessions=[("expired", text()), ("lives", "2999-01-01T00:00:00Z")])
    place.execute(ENDLESS)
    place.execute(STUCK.format(event=event, table=table))
    settings: dict[str, object] = {f"jobs.{job}.interval": "1s", f"jobs.{job}.timeout": "500ms"}
    if table == "geo_cache":  # these write it too, and have more time
        settings |= {"jobs.geo_re_resolve.enabled": False, "jobs.geo_cache_cleanup.enabled": False}
    daemon = begin(settings)
    began = time.monotonic()
    with asking:
        for _ in range(times(2, 50)):
            daemon.wait_for("job_timed_out", since=daemon.mark(), job_id=job)
            daemon.wait_for(other, since=daemon.mark())
            asking.wait_for_answers(1)
        assert "expired" in place.tokens() or table != "sessions"
        assert place.countries() == {} or table != "geo_cache"
        place.execute("DROP TRIGGER stuck")
        daemon.wait_for("job_recovered", job_id=job)
        daemon.wait_for("session_cleanup_ran")
        assert systemd.longest_silence(began) < LIMIT
    asked = asking.heard()
    assert {entry.country_code for entry in asked} == {HERE}
    eventually(lambda: place.countries() == dict.fromkeys([entry.ip for entry in asked], HERE), "all is written")
    assert place.tokens() == {"lives"}
    assert asking.failures == []
    assert failed(daemon) == {job}
    assert daemon.stop() == 0


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Give a port that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_source_that_never_answers_is_given_up_in_time_and_holds_up_no_other(
    begin: Callable[..., DaemonProcess], place: Installation, systemd: NotifySocket, asking: WebApp, silent_port: int
) -> None:
    place.insert(rows=[("9.9.9.9", None, text())], sessions=[("expired", text())])
    source = {
        "geo.ip_api.enabled": True,
        "geo.ip_api.url": f"http://127.0.0.1:{silent_port}/batch",
        "geo.ip_api.timeout": "10m",
        "jobs.geo_re_resolve.timeout": "2s",
    }
    daemon = begin(source)
    began = time.monotonic()
    with asking:
        daemon.wait_for("geo_re_resolve_start")
        for event in ("geo_cache_flush_ran", "geo_cache_cleanup_ran", "session_cleanup_ran"):
            daemon.wait_for(event, since=daemon.mark())
        assert not daemon.lines("geo_re_resolve_complete")
        for _ in range(2):
            daemon.wait_for("geo_re_resolve_complete", since=daemon.mark(), left_for_ip_api=1)
        assert systemd.longest_silence(began) < LIMIT
    assert asking.failures == []
    assert place.countries()["9.9.9.9"] is None
    assert failed(daemon) == set()
    assert daemon.stop() == 0


# --- threads and the process ---


def test_with_a_scheduler_that_hangs_the_watchdog_goes_hungry_and_lookups_go_on(
    hanging: DaemonProcess, place: Installation, systemd: NotifySocket, asking: WebApp
) -> None:
    hanging.send(signal.Signals[broken_within.SCHEDULER])
    began = time.monotonic()
    with asking:
        eventually(lambda: systemd.longest_silence(began) > LIMIT, "systemd would have ended it")
        asking.wait_for_answers(20)
    assert asking.failures == []
    assert hanging.is_alive


def test_with_a_loop_that_hangs_the_watchdog_goes_hungry_and_nobody_gets_an_answer(
    hanging: DaemonProcess, place: Installation, systemd: NotifySocket
) -> None:
    with GeoClient(str(place.socket), timeout=DEADLINE, strict=True) as client:
        assert client.lookup("20.2.0.1").country_code == HERE
    hanging.send(signal.Signals[broken_within.LOOP])
    began = time.monotonic()
    eventually(lambda: systemd.longest_silence(began) > LIMIT, "systemd would have ended it")
    with GeoClient(str(place.socket), timeout=0.5, strict=True) as client, pytest.raises(NoDaemonError):
        client.lookup("20.2.0.2")
    assert hanging.is_alive


@pytest.fixture
def hanging(begin: Callable[..., DaemonProcess], tmp_path: Path) -> DaemonProcess:
    """Give a daemon that hangs at a signal."""
    return begin(**broken_within.put(broken_within.HANGS, tmp_path / "site"))


def test_a_process_that_is_stopped_feeds_nobody_and_goes_on_where_it_was(
    begin: Callable[..., DaemonProcess], place: Installation, systemd: NotifySocket
) -> None:
    daemon = begin()
    for _ in range(times(1, 20)):
        systemd.wait_for("WATCHDOG", since=systemd.mark())
        daemon.send(signal.SIGSTOP)
        began = time.monotonic()
        eventually(lambda began=began: systemd.longest_silence(began) > LIMIT, "systemd would have ended it")  # type: ignore[misc]
        place.insert(rows=[("20.1.1.1", None, text())], sessions=[("expired", text())])
        since = daemon.mark()
        daemon.send(signal.SIGCONT)
        systemd.wait_for("WATCHDOG", since=systemd.mark())
        daemon.wait_for("session_cleanup_ran", since=since, deleted_count=1)
        daemon.wait_for("geo_re_resolve_complete", since=since, resolved=1)
        place.execute("DELETE FROM geo_cache")
    assert {job_id for job_id in JOBS if job_id in failed(daemon)} == set()
    assert daemon.stop() == 0
