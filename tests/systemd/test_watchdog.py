"""The watchdog: a hang of either thread restarts the service and leaves its stacks; a wait is no hang."""

from collections.abc import Iterator

import pytest

from tests.support.daemon import broken_within
from tests.support.feed import eventually
from tests.systemd.service import DROP_INS, PYTHON, SOURCE, Service
from tests.systemd.systems import DEBIAN_13, HERE

LISTEN_AND_DO_NOTHING = """
import socket, sys
with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    connection, _ = listener.accept()
    print("connected", flush=True)
    sys.stdin.read()
"""
WATCHDOG = ("WatchdogSec=3s", "RestartSec=100ms")


@pytest.fixture
def watched(service: Service) -> Iterator[Service]:
    """Give the service with a short watchdog, not started, and with the hangs within it."""
    service.drop_in(*WATCHDOG)
    with service.broken_by(broken_within.HANGS):
        yield service


@pytest.mark.systems(HERE, DEBIAN_13)
@pytest.mark.parametrize(
    ("number", "where"), [("SIGUSR1", "hang_the_scheduler"), ("SIGUSR2", "_run_once")], ids=["scheduler", "loop"]
)
def test_a_hang_restarts_the_service_and_leaves_all_stacks(watched: Service, number: str, where: str) -> None:
    watched.start()
    pid = watched.pid
    watched.kill(number)
    watched.wait_for_restart(pid)
    told = [str(entry["MESSAGE"]) for entry in watched.journal(f"_PID={pid}")]
    assert "Fatal Python error: Aborted" in told
    assert sum("hread 0x" in line for line in told) >= 2, told
    assert any(where in line for line in told), told
    assert any("apscheduler" in line for line in told), told
    assert any("asyncio" in line for line in told), told


def test_a_locked_database_is_no_hang(watched: Service) -> None:
    watched.configure({"database.busy_timeout": "20s", "jobs.session_cleanup.interval": "1s"})
    watched.execute("INSERT INTO sessions (token, expires_at) VALUES ('old', '2001-01-01T00:00:00Z')")
    watched.start()
    pid = watched.pid
    with watched.locked():
        outlive_the_watchdog(watched)
    assert (watched.pid, watched.show("NRestarts")) == (pid, "0")
    watched.wait_for("session_cleanup_ran", deleted_count="1")


def test_an_ip_api_that_never_answers_is_no_hang(watched: Service) -> None:
    watched.machine.run("cp", f"{SOURCE}/contrib/systemd/ip-api.conf", DROP_INS)
    watched.machine.run("systemctl", "daemon-reload")
    watched.execute("INSERT INTO geo_cache (ip, last_seen) VALUES ('2a00:1450::1', '2999-01-01T00:00:00Z')")
    with watched.machine.started(PYTHON, "-c", LISTEN_AND_DO_NOTHING) as silent:
        assert silent.stdout is not None
        url = f"http://127.0.0.1:{int(silent.stdout.readline())}/batch"
        watched.configure({"geo.ip_api.enabled": True, "geo.ip_api.url": url, "geo.ip_api.timeout": "60s"})
        watched.configure({"jobs.geo_re_resolve.interval": "1s"})
        watched.start()
        pid = watched.pid
        watched.wait_for("geo_re_resolve_start")
        assert silent.stdout.readline() == "connected\n"
        outlive_the_watchdog(watched)
        assert (watched.pid, watched.show("NRestarts")) == (pid, "0")
        assert watched.machine.run("bangeod", "status").returncode == 0


def outlive_the_watchdog(watched: Service) -> None:
    """Wait for so many pings that a service that hangs would have been restarted."""
    fed = watched.show("WatchdogTimestampMonotonic")
    for _ in range(6):  # twice the limit, in thirds of it
        eventually(lambda fed=fed: watched.show("WatchdogTimestampMonotonic") != fed, "a ping")  # type: ignore[misc]
        fed = watched.show("WatchdogTimestampMonotonic")
