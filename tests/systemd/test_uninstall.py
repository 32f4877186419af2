"""The way back: what contrib/install takes away, and what it leaves."""

from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest

from tests.systemd.installed import INSTALL, break_off
from tests.systemd.machine import Machine
from tests.systemd.service import CONFIG, DATABASE, STATE, UNIT, Service
from tests.systemd.systems import DEBIAN_13, HERE

UNINSTALL = (INSTALL[0], "--uninstall")
TIMER = "bangeod-geodb-update.timer"
STAMP = f"/var/lib/systemd/timers/stamp-{TIMER}"
DROP_INS = f"/etc/systemd/system/{UNIT}.d"
LOCK = f"{DATABASE}.bangeod-lock"
PLACES = ("/etc", "/opt", "/usr/lib", "/usr/local", "/usr/share", "/var/cache", "/var/lib")


@pytest.fixture
def running(service: Service) -> Iterator[Service]:
    """Give the service, up and enabled; when the test has removed it, it is installed anew."""
    service.machine.run("systemctl", "enable", "bangeod.service")
    service.start()
    yield service
    service.machine.run(*INSTALL, timeout=300)


def rows(machine: Machine) -> str:
    return machine.run("sha256sum", DATABASE).stdout


def remains(machine: Machine) -> list[str]:
    """Return all that has bangeod's name where programs and data are, but for the database's own neighbour."""
    found = machine.run("find", *PLACES, "-name", "*bangeod*").stdout.split()
    return sorted(path for path in found if not path.startswith(DATABASE))


def beside(machine: Machine) -> set[str]:
    """Return all that is in the database's directory."""
    return set(machine.run("find", str(PurePosixPath(DATABASE).parent), "-mindepth", "1").stdout.split())


@pytest.mark.systems(HERE, DEBIAN_13)
def test_uninstalling_leaves_config_state_database_and_the_administrators_drop_ins(running: Service) -> None:
    machine = running.machine
    running.stop()
    machine.write(f"{DROP_INS}/local.conf", "[Service]\nRestartSec=1s\n")
    before = rows(machine), machine.read(CONFIG)
    running.make_state("mark", "kept")
    running.start()
    machine.run(*UNINSTALL)
    assert remains(machine) == ["/etc/bangeod", CONFIG, DROP_INS, STATE]
    assert machine.run("ls", "-A", DROP_INS).stdout == "local.conf\n"
    machine.run("rm", "-r", DROP_INS)
    assert machine.read(f"{STATE}/mark") == "kept"
    assert (rows(machine), machine.read(CONFIG)) == before
    assert machine.run("systemctl", "show", "--value", "--property=LoadState", "bangeod").stdout == "not-found\n"
    assert machine.run("pgrep", "--full", "bangeod run", check=False).stdout == ""
    assert machine.run("id", "bangeod").returncode == 0


def test_uninstalling_takes_away_what_a_broken_off_installation_left(running: Service) -> None:
    break_off(running.machine)
    running.machine.run(*UNINSTALL)
    assert remains(running.machine) == ["/etc/bangeod", CONFIG, STATE]


def test_purging_leaves_the_database_alone_and_nothing_else(running: Service) -> None:
    machine = running.machine
    running.stop()
    before = rows(machine)
    running.drop_in("RestartSec=1s")
    for unit in ("bangeod.service", "bangeod-geodb-update.service"):
        machine.write(f"/etc/systemd/system/{unit}.d/local.conf", "[Service]\nRestartSec=1s\n")
    machine.write(f"/etc/systemd/system/{TIMER}.d/local.conf", "[Timer]\nOnCalendar=daily\n")
    machine.run("systemctl", "enable", "--now", TIMER)
    assert machine.exists(STAMP)
    of_the_web_app = beside(machine)
    assert LOCK in of_the_web_app
    machine.run(*UNINSTALL, "--purge")
    assert remains(machine) == []
    assert not machine.exists("/run/bangeod-install.lock")
    assert beside(machine) == of_the_web_app - {LOCK}
    assert rows(machine) == before
    assert machine.run("id", "bangeod", check=False).returncode != 0
    assert machine.run("getent", "group", "bangui").returncode == 0
    assert "Nothing to do" in machine.run(*UNINSTALL, "--purge").stdout


def test_purging_takes_the_lock_file_from_where_the_link_to_the_database_leads(running: Service) -> None:
    machine = running.machine
    running.stop()
    link = f"{PurePosixPath(DATABASE).parent}/link.db"
    machine.run("ln", "-s", DATABASE, link)
    machine.write(CONFIG, f'[database]\npath = "{link}"\n')
    machine.run(*UNINSTALL)
    assert machine.exists(LOCK)
    machine.run(*UNINSTALL, "--purge")
    assert not machine.exists(LOCK)
    assert machine.exists(link)


def test_purging_leaves_a_lock_that_somebody_holds(running: Service) -> None:
    machine = running.machine
    running.stop()
    with machine.started("flock", LOCK, "sh", "-c", "echo held; read end") as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert f"Left in place: {LOCK}" in machine.run(*UNINSTALL, "--purge").stdout
    assert machine.exists(LOCK)
