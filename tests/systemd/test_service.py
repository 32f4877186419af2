"""Start, stop and reload of the service, and the line that ``systemctl status`` shows."""

import re

import pytest

from bangeod.check import memory
from tests.systemd.service import CONFIG, DATABASE, STATE, Service
from tests.systemd.systems import DEBIAN_13, HERE

on_each = pytest.mark.systems(HERE, DEBIAN_13)

BAN = "INSERT INTO geo_cache (ip, last_seen) VALUES (?, strftime('%Y-%m-%dT%H:%M:%SZ'))"


def test_it_is_ready_when_systemctl_start_returns(service: Service) -> None:
    service.execute(BAN, ("8.8.8.8",), ("9.9.9.9",))
    service.start()
    assert service.is_active
    assert [entry["DIRTY"] for entry in service.events("ready")] == ["0"]
    assert service.wait_for_status("4 jobs, 2 cached") == "4 jobs, 2 cached, 0 to write"  # the table is read after that


@on_each
def test_it_stops_with_status_0_and_leaves_the_database_to_itself(service: Service) -> None:
    service.start()
    service.stop()
    assert service.show("ActiveState") == "inactive"
    assert (service.show("Result"), service.show("ExecMainStatus")) == ("success", "0")
    assert service.execute("PRAGMA integrity_check") == [["ok"]]


def test_the_status_says_how_long_ago_the_last_flush_was(service: Service) -> None:
    service.configure({"jobs.geo_cache_flush.interval": "1s"})
    service.start()
    service.wait_for_status("4 jobs, 0 cached, 0 to write, last flush ")


def test_a_reload_takes_up_a_changed_config(service: Service) -> None:
    service.start()
    service.configure({"jobs.geo_re_resolve.interval": "7m"})
    service.machine.run("systemctl", "reload", "bangeod")
    assert service.is_active
    assert service.wait_for("geo_re_resolve_scheduled", interval_seconds="420")


@on_each
def test_a_reload_of_a_broken_config_leaves_the_service_up_and_shows_in_the_status(service: Service) -> None:
    service.start()
    pid = service.pid
    service.machine.write(CONFIG, "[jobs.geo_re_resolve]\ninterval = 'often'\n")
    service.machine.run("systemctl", "reload", "bangeod")
    refused = service.wait_for("config_refused")
    assert "jobs.geo_re_resolve.interval" in refused["MESSAGE"]
    assert service.wait_for_status("refused").startswith("the changed config was refused, the old one is in force;")
    assert (service.is_active, service.pid) == (True, pid)
    service.configure()
    service.machine.run("systemctl", "reload", "bangeod")
    service.wait_for_status("4 jobs, 0 cached")
    assert "refused" not in service.status


def test_a_locked_database_shows_in_the_status_with_its_time(service: Service) -> None:
    service.configure({"database.busy_timeout": "100ms", "jobs.session_cleanup.interval": "1s"})
    service.execute("INSERT INTO sessions (token, expires_at) VALUES ('old', '2001-01-01T00:00:00Z')")
    service.start()
    with service.locked():
        status = service.wait_for_status("locked")
        assert re.match(r"database locked since [\d-]{10} [\d:]{5} UTC \(session_cleanup\); 4 jobs,", status)
    service.wait_for("job_recovered", job_id="session_cleanup")
    service.wait_for_status("")
    assert service.status.startswith("4 jobs, 0 cached")


def test_a_database_that_is_not_there_yet_delays_nothing_and_shows_in_the_status(service: Service) -> None:
    service.machine.run("rm", DATABASE)
    service.start()
    assert "there is no such database" in service.status


def test_the_service_owns_its_state_and_the_group_may_enter_where_the_socket_is(service: Service) -> None:
    service.start()
    stat = ("stat", "--format=%U:%G %a", STATE, "/run/bangeod")
    assert service.machine.run(*stat).stdout.split("\n")[:2] == ["bangeod:bangui 700", "bangeod:bangui 750"]


@on_each
def test_it_may_have_a_share_of_the_machines_memory_and_is_the_first_to_go(service: Service) -> None:
    service.start()
    assert 0 < int(service.show("MemoryMax")) <= memory.installed() * 0.6
    assert service.machine.read(f"/proc/{service.pid}/oom_score_adj") == "300\n"
