"""The watchdog: a hang of either thread restarts the service and leaves its stacks; a wait is no hang."""

from collections.abc import Iterator

import pytest

from tests import hangs
from tests.feed import eventually
from tests.systemd.service import PYTHON, Service

WATCHDOG = ("WatchdogSec=3s", "RestartSec=100ms")


@pytest.fixture
def watched(service: Service) -> Iterator[Service]:
    """Give the service with a short watchdog, not started, and with the hangs within it."""
    service.drop_in(*WATCHDOG)
    where = 'import sysconfig; print(sysconfig.get_path("purelib"))'
    directory = service.machine.run(PYTHON, "-c", where).stdout.strip()
    service.machine.write(f"{directory}/hangs_for_a_test.py", hangs.CODE)
    service.machine.write(f"{directory}/hangs_for_a_test.pth", "import hangs_for_a_test\n")
    yield service
    service.machine.run("rm", f"{directory}/hangs_for_a_test.py", f"{directory}/hangs_for_a_test.pth")


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
        fed = watched.show("WatchdogTimestampMonotonic")
        for _ in range(6):  # twice the limit, in thirds of it
            eventually(lambda fed=fed: watched.show("WatchdogTimestampMonotonic") != fed, "a ping")  # type: ignore[misc]
            fed = watched.show("WatchdogTimestampMonotonic")
    assert (watched.pid, watched.show("NRestarts")) == (pid, "0")
    watched.wait_for("session_cleanup_ran", deleted_count="1")
