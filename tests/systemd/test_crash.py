"""What becomes of the service after it was killed, and with a config that can't be used."""

import json
from datetime import UTC, datetime, timedelta

from tests.support.daemon import broken_within
from tests.support.feed import eventually
from tests.systemd.service import CONFIG, Service

EXPIRED = "INSERT INTO sessions (token, expires_at) VALUES (?, '2001-01-01T00:00:00Z')"
RAN = """
[jobs.session_cleanup]
last_success = {sessions}

[jobs.geo_cache_cleanup]
last_success = {cleanup}
"""


def test_after_a_kill_it_comes_back_and_makes_up_for_what_was_due_and_for_nothing_else(service: Service) -> None:
    service.drop_in("RestartSec=100ms")
    service.execute(EXPIRED, ("old",))
    service.make_state("state.toml", RAN.format(sessions=ago(hours=7), cleanup=ago(hours=7)))
    service.start()
    pid = service.pid
    service.kill("SIGKILL")  # before it is made up for, which is some seconds after the start
    service.wait_for_restart(pid)
    assert service.wait_for("session_cleanup_ran", deleted_count="1")["_PID"] != str(pid)
    assert service.execute("SELECT * FROM sessions") == []
    planned = json.loads(service.machine.run("bangeod", "status", "--json").stdout)["jobs"]
    assert {job["id"]: job["runs"] for job in planned if job["runs"]} == {"session_cleanup": 1}


def test_where_its_event_loop_dies_it_is_restarted_at_once_and_the_journal_has_the_reason(service: Service) -> None:
    service.drop_in("RestartSec=100ms", "WatchdogSec=1h", f"Environment={broken_within.DEATH}=callback")
    with service.broken_by(broken_within.DEATHS):
        service.start()
        pid = service.pid
        service.kill(broken_within.LOOP)
        service.wait_for_restart(pid)
    assert service.show("NRestarts") == "1"
    (reason,) = service.journal("--priority=crit", f"_PID={pid}")
    assert (reason["EVENT"], reason["PROBLEM"]) == ("event_loop_died", "SystemExit(78)")


def ago(hours: int) -> str:
    return (datetime.now(UTC) - timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_with_a_bad_config_it_is_not_started_over_and_over(service: Service) -> None:
    service.drop_in("RestartSec=100ms")
    service.machine.write(CONFIG, "[database]\npath = 'bangui.db'\n")
    assert service.machine.run("systemctl", "start", "bangeod", check=False).returncode != 0
    eventually(lambda: service.show("ActiveState") == "failed", "the failure")
    assert (service.show("ExecMainStatus"), service.show("NRestarts")) == ("78", "0")
    assert any("database.path" in entry["MESSAGE"] for entry in service.journal("--priority=err"))
