"""What contrib/install does to a machine on which bangeod is installed already."""

import pytest

from tests.systemd.installed import INSTALL, SECONDS, WHEELS, break_off
from tests.systemd.machine import Machine
from tests.systemd.packages import ROOT
from tests.systemd.service import CONFIG, DATABASE, SOURCE, UNIT, Service
from tests.systemd.systems import DEBIAN_13, HERE

LOOK = "find /opt/bangeod /etc /usr/local /var/lib/bangui -printf '%p %i %m %u %g %s %T@\\n' | sort"


@pytest.mark.systems(HERE, DEBIAN_13)
def test_running_it_again_changes_nothing(machine: Machine, service: Service) -> None:
    before = machine.run("sh", "-c", LOOK).stdout
    assert DATABASE in before
    assert CONFIG in before
    assert "Nothing to do" in machine.run(*INSTALL).stdout
    assert machine.run("sh", "-c", LOOK).stdout == before


def test_the_shell_completes_commands_and_man_finds_the_page(machine: Machine) -> None:
    completions = "/usr/local/share/bash-completion/completions/bangeod"
    asked = "COMP_WORDS=(bangeod geo); COMP_CWORD=1; _bangeod_completion bangeod; echo ${COMPREPLY[@]}"
    assert machine.run("bash", "-c", f"source {completions}; {asked}").stdout == "geodb\n"
    assert machine.exists("/usr/local/share/zsh/site-functions/_bangeod")
    assert machine.exists("/usr/local/share/fish/vendor_completions.d/bangeod.fish")
    assert machine.read("/usr/local/share/man/man8/bangeod.8") == (ROOT / "contrib" / "man" / "bangeod.8").read_text()


def test_the_version_names_the_systemd_that_runs_and_a_sqlite_of_its_own(machine: Machine) -> None:
    runs = machine.run("systemctl", "--version").stdout.split()[1]  # systemd 252 (252.39-1~deb12u1)
    lines = machine.run("bangeod", "--version", user="bangui").stdout.splitlines()
    assert f"systemd {runs}" in lines
    assert any(line.startswith("SQLite ") and line.endswith(("(pysqlite3)", "(sqlcipher3)")) for line in lines)


def test_only_root_may_run_it(machine: Machine) -> None:
    refused = machine.run(INSTALL[0], user="bangui", check=False)
    assert refused.returncode == 1
    assert "only root can do this" in refused.stderr


def test_a_python_that_is_missing_is_named(machine: Machine) -> None:
    refused = machine.run(*INSTALL, "--python", "/nowhere/python3", check=False)
    assert refused.returncode == 1
    assert "no Python that will do was found at /nowhere/python3" in refused.stderr


def test_it_runs_nothing_from_the_directory_that_it_is_called_in(machine: Machine) -> None:
    machine.run("mkdir", "/srv/anybodys")
    for module in ("ensurepip", "pip", "venv"):
        machine.write(f"/srv/anybodys/{module}.py", f"open('/srv/anybodys/{module}-ran', 'w')")
    machine.run("sh", "-ec", "rm /opt/bangeod/bin/python3; echo another version >/opt/bangeod/installed")
    call = f"../..{SOURCE}/contrib/install --wheels ../..{WHEELS} --python ../../usr/bin/python3"
    try:
        done = machine.run("sh", "-c", f"cd /srv/anybodys && {call}", check=False, timeout=SECONDS)
        assert machine.run("find", "/srv/anybodys", "-name", "*-ran").stdout == ""
        assert done.returncode == 0, done.stderr
        assert "Nothing to do" in machine.run(*INSTALL).stdout
    finally:
        machine.run("rm", "-r", "/srv/anybodys")
        machine.run(*INSTALL, timeout=SECONDS)


def test_a_python_that_is_not_the_distributions_runs_the_service(service: Service) -> None:
    machine = service.machine
    version = machine.run("/usr/bin/python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])").stdout.strip()
    machine.run("mkdir", "-p", "/opt/py/bin", "/opt/py/lib")
    machine.run("cp", f"/usr/bin/python{version}", "/opt/py/bin")
    machine.run("cp", "-r", f"/usr/lib/python{version}", "/opt/py/lib")
    try:
        machine.run(*INSTALL, "--python", f"/opt/py/bin/python{version}", timeout=SECONDS)
        service.start()
        assert service.is_active
        assert machine.run("readlink", "-f", f"/proc/{service.pid}/exe").stdout.startswith("/opt/py/")
    finally:
        machine.run(*INSTALL, timeout=SECONDS)
        machine.run("rm", "-r", "/opt/py")
    assert not machine.exists(f"/etc/systemd/system/{UNIT}.d/python.conf")
    assert service.is_active


def test_after_an_installation_that_broke_off_the_next_one_restarts_the_daemon(service: Service) -> None:
    machine = service.machine
    service.start()
    pid = service.pid
    machine.write("/opt/bangeod/installed", "another version")
    machine.run("mv", "/usr/local/share/man/man8", "/srv/man8")
    machine.write("/usr/local/share/man/man8", "in the way")
    try:
        assert machine.run(*INSTALL, check=False, timeout=SECONDS).returncode != 0
    finally:
        machine.run("sh", "-ec", "rm /usr/local/share/man/man8; mv /srv/man8 /usr/local/share/man/man8")
    assert service.pid == pid
    assert "Restarting bangeod" in machine.run(*INSTALL).stdout
    assert service.is_active
    assert service.pid != pid


def test_an_installation_that_broke_off_with_the_program_gone_is_finished_by_the_next(service: Service) -> None:
    machine = service.machine
    break_off(machine)
    machine.run(*INSTALL, timeout=SECONDS)
    assert machine.run("find", "/opt", "-maxdepth", "1", "-name", "bangeod*").stdout == "/opt/bangeod\n"
    service.start()
    assert service.is_active


def test_a_directory_of_somebody_elses_in_the_programs_place_is_left_alone(machine: Machine) -> None:
    machine.run("mv", "/opt/bangeod", "/srv/aside")
    machine.write("/opt/bangeod/theirs", "kept")
    try:
        refused = machine.run(*INSTALL, check=False, timeout=SECONDS)
        assert machine.read("/opt/bangeod/theirs") == "kept"
    finally:
        machine.run("sh", "-ec", "rm -r /opt/bangeod; mv /srv/aside /opt/bangeod")
    assert refused.returncode == 1
    assert "/opt/bangeod is there and is no virtual environment" in refused.stderr


def test_two_of_them_do_not_get_in_each_others_way(machine: Machine) -> None:
    with machine.started("sh", "-c", "exec 9>/run/bangeod-install.lock; flock 9; echo locked; cat") as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        refused = machine.run(*INSTALL, check=False)
    assert refused.returncode == 1
    assert "another contrib/install is at work" in refused.stderr
