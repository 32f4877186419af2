"""The journal, asked as a person asks it."""

from tests.systemd.service import DATABASE, PYTHON, SOCKET, Service

EXPIRED = "INSERT INTO sessions (token, expires_at) VALUES (?, '2001-01-01T00:00:00Z')"
JOURNALD = ("systemctl", "kill", "--kill-whom=main", "systemd-journald")
BREAK_A_JOB = """
from bangeod.jobs import session_cleanup

async def run(self, run):
    raise RuntimeError("made for a test")

session_cleanup.SessionCleanup.run = run
"""
# Asks about one address after another until log entries are dropped; prints how many were.
LOG_MUCH = """
import sys
from bangeod.client import GeoClient
with GeoClient(sys.argv[1], timeout=30, strict=True) as client:
    for number in range(20_000):
        client.lookup(f"2a00:1450::{number:x}")
        if number % 100 == 0 and client.status()["log_entries_dropped"]:
            break
    print(client.status()["log_entries_dropped"])
"""


def test_a_job_and_one_run_of_it_can_be_asked_for(service: Service) -> None:
    service.execute(EXPIRED, ("old",))
    service.start()
    ran = service.wait_for("session_cleanup_ran")
    of_job = service.journal("JOB_ID=session_cleanup")
    assert {entry["JOB_ID"] for entry in of_job} == {"session_cleanup"}
    assert service.journal(f"CORRELATION_ID={ran['CORRELATION_ID']}") == [ran]
    assert ran["MESSAGE"].startswith("session_cleanup_ran deleted_count=1 ")
    assert (ran["DELETED_COUNT"], ran["PRIORITY"]) == ("1", "6")


def test_errors_are_found_by_their_priority(service: Service) -> None:
    service.machine.run("rm", "/var/lib/bangui/bangui.db")
    service.start()
    assert [entry["EVENT"] for entry in service.journal("--priority=err")] == ["database_unavailable"]


def test_a_fault_of_the_program_is_one_entry_with_its_traceback(service: Service) -> None:
    service.configure({"jobs.session_cleanup.interval": "1s"})
    with service.broken_by(BREAK_A_JOB):
        service.start()
        failed = service.wait_for("job_failed", job_id="session_cleanup")
        service.stop()
    assert str(failed["MESSAGE"]).startswith("job_failed ")
    assert str(failed["MESSAGE"]).splitlines()[-1].strip() == "RuntimeError: made for a test"
    assert "Traceback" in str(failed["EXCEPTION"])
    assert failed["PRIORITY"] == "3"
    told = [str(entry["MESSAGE"]) for entry in service.journal()]
    assert sum("made for a test" in message for message in told) == 1


def test_while_journald_hangs_the_daemon_works_on_and_then_says_how_much_was_dropped(service: Service) -> None:
    service.machine.run("rm", DATABASE)  # each lookup is a line in the log then
    service.start()
    service.machine.run(*JOURNALD, "--signal=STOP")
    try:
        lost = int(service.machine.run(PYTHON, "-c", LOG_MUCH, SOCKET).stdout)
    finally:
        service.machine.run(*JOURNALD, "--signal=CONT")
    assert lost > 0
    service.machine.run("bangeod", "lookup", "9.9.9.9")
    assert int(service.wait_for("log_records_dropped")["DROPPED"]) >= lost
