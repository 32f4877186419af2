"""What bangeod makes of systemd 253 and newer: that each drop-in is in force, tried from within and from outside."""

import json
from typing import Any

import pytest

from tests.support.feed import eventually
from tests.systemd.machine import Machine
from tests.systemd.service import PYTHON, SOURCE, Service
from tests.systemd.systems import DEBIAN_13
from tests.systemd.test_watchdog import outlive_the_watchdog

pytestmark = pytest.mark.systems(DEBIAN_13)

UPDATE = "bangeod-geodb-update.service"
TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 - looked into
WITHIN = f"""
import errno, json, os, pathlib

def tried(attempt, *arguments):
    try:
        attempt(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"

for directory in {TEMPORARY}:
    pathlib.Path(directory, "mark-of-bangeod").touch()
print(json.dumps({{
    "number": os.getpid(),
    "group": [line.strip() for line in open("/proc/self/cgroup") if line.startswith("0::")],
    "slices": [name for name in os.listdir("/sys/fs/cgroup") if name.endswith(".slice")],
    "write in the group": [
        name for name in os.listdir("/sys/fs/cgroup") if os.access(f"/sys/fs/cgroup/{{name}}", os.W_OK)
    ],
    "signal the daemon": tried(os.kill, int(os.environ.get("DAEMON", 0)) or os.getpid(), 0),
}}))
"""


def within(service: Service, unit: str, *lines: str) -> dict[str, Any]:
    """Start a unit with a look from within before it; return what was seen."""
    machine = service.machine
    machine.write("/srv/within.py", WITHIN)
    drop_in = ["[Service]", f"ExecStartPre={PYTHON} /srv/within.py", *lines, ""]
    machine.write(f"/run/systemd/system/{unit}.d/test.conf", "\n".join(drop_in))
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", unit, check=unit != UPDATE)  # it has no network
    machine.run("journalctl", "--sync")
    told = machine.run("journalctl", f"--unit={unit}", "--output=cat").stdout.splitlines()
    seen: dict[str, Any] = json.loads([line for line in told if line.startswith('{"number"')][-1])
    machine.run("rm", "-r", f"/run/systemd/system/{unit}.d")
    machine.run("systemctl", "daemon-reload")
    return seen


@pytest.mark.parametrize("unit", ["bangeod.service", UPDATE])
def test_what_is_temporary_is_in_no_directory_of_the_machines(service: Service, unit: str) -> None:
    within(service, unit)
    assert service.machine.run("find", *TEMPORARY, "-name", "mark-of-bangeod").stdout == ""


@pytest.mark.parametrize("unit", ["bangeod.service", UPDATE])
def test_it_sees_its_own_control_group_alone_and_can_write_nothing_in_it(service: Service, unit: str) -> None:
    seen = within(service, unit)
    assert (seen["group"], seen["slices"], seen["write in the group"]) == (["0::/"], [], [])


def test_what_fetches_geo_databases_does_not_reach_the_daemon(service: Service) -> None:
    service.start()
    seen = within(service, UPDATE, f"Environment=DAEMON={service.pid}")
    assert (seen["number"], seen["signal the daemon"]) == (1, "ESRCH")


def test_what_fetches_geo_databases_ends_when_it_is_told_to(service: Service) -> None:
    machine = service.machine
    waits = f"ExecStartPre={PYTHON} -c 'import time; print(\"it waits\", flush=True); time.sleep(600)'"
    machine.write(f"/run/systemd/system/{UPDATE}.d/test.conf", f"[Service]\n{waits}\nTimeoutStopSec=10min\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "--no-block", UPDATE)
    journal = ("journalctl", f"--unit={UPDATE}", "--output=cat")
    eventually(lambda: "it waits" in machine.run(*journal).stdout, "its start")
    machine.run("systemctl", "stop", UPDATE)  # within a minute, or the test fails
    machine.run("rm", "-r", f"/run/systemd/system/{UPDATE}.d")


def test_a_reload_has_taken_up_the_config_when_it_returns_and_needs_no_process(service: Service) -> None:
    service.start()
    assert (service.show("Type"), service.show("ExecReload")) == ("notify-reload", "")
    service.configure({"jobs.geo_re_resolve.interval": "7m"})
    service.machine.run("systemctl", "reload", "bangeod")
    assert interval(service.machine) == 420


def interval(machine: Machine) -> float:
    jobs = json.loads(machine.run("bangeod", "status", "--json").stdout)["jobs"]
    [seconds] = [job["interval"] for job in jobs if job["id"] == "geo_re_resolve"]
    assert isinstance(seconds, float | int)
    return seconds


def test_in_a_pid_namespace_of_its_own_it_pings_the_watchdog_and_reloads(service: Service) -> None:
    service.drop_in("PrivatePIDs=yes", "WatchdogSec=3s")
    service.start()
    [began] = service.events("starting", pid="1")
    assert began["_PID"] == str(service.pid)
    outlive_the_watchdog(service)
    service.configure({"jobs.geo_re_resolve.interval": "7m"})
    service.machine.run("systemctl", "reload", "bangeod")
    assert interval(service.machine) == 420
    assert service.show("NRestarts") == "0"


def test_what_an_administrator_writes_wins_over_the_drop_ins(service: Service) -> None:
    service.drop_in("PrivateTmp=no", "Type=notify", "ExecReload=/bin/true")
    assert (service.show("PrivateTmp"), service.show("Type")) == ("no", "notify")


def test_a_drop_in_for_a_newer_systemd_than_this_goes_with_the_next_installation(machine: Machine) -> None:
    for unit in ("bangeod.service", UPDATE):
        machine.write(f"/etc/systemd/system/{unit}.d/10-systemd-999.conf", "[Service]\n")
    told = machine.run(f"{SOURCE}/contrib/install", "--wheels", "/srv/wheels").stdout
    assert told.count("Removed") == 2
    assert machine.run("find", "/etc/systemd/system", "-name", "10-systemd-999.conf").stdout == ""
