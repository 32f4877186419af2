"""The README's chapter on the installation, done as it stands there; test_package.py does the package's part."""

import re

import pytest

from tests.systemd.installed import WHEELS
from tests.systemd.packages import ROOT
from tests.systemd.service import DATABASE, SOURCE, Service
from tests.systemd.systems import DEBIAN_13, HERE

CHAPTER = (ROOT / "README.md").read_text().partition("\n## Install it\n")[2].partition("\n## ")[0]
PACKAGE, INSTALL, SHARE, START = re.findall(r"```sh\n(.*?)```", CHAPTER, flags=re.DOTALL)


@pytest.fixture
def place(service: Service) -> Service:
    """Give a machine on which BanGUI's files are BanGUI's alone."""
    service.machine.run("sh", "-ec", f"chmod 750 $(dirname {DATABASE}); chmod 644 {DATABASE}*")
    return service


@pytest.mark.systems(HERE, DEBIAN_13)
def test_the_chapter_takes_a_machine_to_a_running_service(place: Service) -> None:
    assert place.machine.run("bangeod", "check", check=False).returncode == 1
    place.machine.run("sh", "-ec", f"cd {SOURCE}\n{INSTALL.strip()} --wheels {WHEELS}")
    share = SHARE.replace("/usr/share/bangeod/", "contrib/tmpfiles.d/")  # as the text before it says
    place.machine.run("sh", "-ec", f"cd {SOURCE}\n{share}")
    told = place.machine.run("sh", "-ec", START).stdout
    assert "no faults" in told
    assert "Active: active (running)" in told
    assert 'Status: "4 jobs, 0 cached, 0 to write' in told
    place.machine.run("systemctl", "disable", "bangeod.service")


def test_the_socket_stays_where_a_container_has_it_mounted(place: Service) -> None:
    directory = ("stat", "--format=%i", "/run/bangeod")
    place.start()
    before = place.machine.run(*directory).stdout
    place.stop()
    place.start()
    assert place.machine.run(*directory).stdout == before
    assert place.machine.run("bangeod", "status").returncode == 0
