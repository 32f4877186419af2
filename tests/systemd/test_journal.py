"""The journal, asked as a person asks it."""

from tests.systemd.service import Service

EXPIRED = "INSERT INTO sessions (token, expires_at) VALUES (?, '2001-01-01T00:00:00Z')"


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
