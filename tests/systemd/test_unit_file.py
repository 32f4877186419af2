"""What systemd makes of the unit's files: whether it understands them, and how exposed the service is."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.systemd.machine import Machine
from tests.systemd.packages import ROOT
from tests.systemd.service import DROP_INS, SOURCE, Service
from tests.systemd.systems import DEBIAN_13, HERE

UNITS = ROOT / "contrib" / "systemd"
UNIT = (UNITS / "bangeod.service").read_text()
IP_API, POSTGRES = ((UNITS / f"{name}.conf").read_text() for name in ("ip-api", "postgres"))

on_each = pytest.mark.systems(HERE, DEBIAN_13)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize(
    ("text", "most"),
    [(UNIT, 0.3), (UNIT + IP_API, 1.1), (UNIT + POSTGRES, 1.1)],
    ids=["no network", "ip-api", "PostgreSQL over TCP"],
)
def test_the_exposure_is_no_higher_than_promised(text: str, most: float, tmp_path: Path) -> None:
    unit = tmp_path / "bangeod.service"
    unit.write_text(text)
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
    assert _exposure(subprocess.run(command, capture_output=True, text=True, check=False).stdout) <= most


@on_each
@pytest.mark.parametrize(
    ("drop_in", "most"),
    [("", 0.2), ("ip-api.conf", 1.1), ("postgres.conf", 1.1)],
    ids=["no network", "ip-api", "PostgreSQL over TCP"],
)
def test_the_exposure_of_the_installed_service_is_no_higher_than_promised(
    service: Service, drop_in: str, most: float
) -> None:
    if drop_in:
        service.machine.run("install", "-D", "-m", "644", "-t", DROP_INS, f"{SOURCE}/contrib/systemd/{drop_in}")
        service.machine.run("systemctl", "daemon-reload")
    told = service.machine.run("systemd-analyze", "security", "--no-pager", "bangeod.service").stdout
    assert _exposure(told) <= most


@on_each
def test_systemd_understands_every_line(service: Service) -> None:
    units = ("bangeod.service", "bangeod-geodb-update.service", "bangeod-geodb-update.timer")
    told = service.machine.run("systemd-analyze", "verify", "--man=no", *units, check=False)
    assert [line for line in (told.stdout + told.stderr).splitlines() if "bangeod" in line] == []


@on_each
def test_the_drop_ins_that_are_there_are_those_for_this_systemd(machine: Machine) -> None:
    version = int(machine.run("systemctl", "--version").stdout.split()[1])
    wanted = {
        str(file.relative_to(UNITS)): file.read_text()
        for file in UNITS.glob("*.d/10-systemd-*.conf")
        if int(file.stem.rpartition("-")[2]) <= version
    }
    found = machine.run("find", "/etc/systemd/system", "-name", "10-systemd-*", "-printf", "%P\n").stdout.split()
    assert {path: machine.read(f"/etc/systemd/system/{path}") for path in found} == wanted


@pytest.mark.parametrize("path", sorted(UNITS.glob("*.d/*")), ids=lambda path: str(path.relative_to(UNITS)))
def test_a_drop_in_says_which_systemd_it_is_for_and_comes_before_what_others_write(path: Path) -> None:
    version = re.fullmatch(r"10-systemd-(\d{3})\.conf", path.name)
    assert version is not None
    assert (UNITS / path.parent.name.removesuffix(".d")).exists()
    assert path.read_text().startswith(f"# What systemd {version[1]} and newer can do for {path.parent.stem}")
    assert path.name < min("ip-api.conf", "override.conf", "python.conf")


def _exposure(told: str) -> float:
    level = re.search(r"Overall exposure level for bangeod.service: ([\d.]+)", told)
    assert level is not None, told
    return float(level[1])
