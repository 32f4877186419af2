"""What the tests under real systemd share: one machine, on which contrib/install has installed bangeod."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import NoReturn

import pytest

from tests.systemd import machine as machines
from tests.systemd.machine import Machine, MachineError
from tests.systemd.packages import ROOT, PackagesError, wheels
from tests.systemd.service import MAKE_DATABASE, SOURCE, WEB_USER, Service

REQUIRED = "BANGEOD_TESTS_REQUIRE_SYSTEMD"  # set where these tests must not be skipped
WHEELS = "/srv/wheels"
CACHE = ROOT / ".pytest_cache" / "wheels"
INSTALL = (f"{SOURCE}/contrib/install", "--wheels", WHEELS)


@contextmanager
def booted() -> Iterator[Machine]:
    """Boot a machine with this checkout in SOURCE and the packages in WHEELS, or skip the test and say why."""
    reason = machines.missing()
    if reason:
        skip(reason)
    try:
        machine = Machine({SOURCE: ROOT, WHEELS: wheels(CACHE)})
        machine.start()
    except (MachineError, PackagesError) as error:
        skip(str(error))
    with closing(machine):
        # BanGUI is there first.
        machine.run("useradd", "--system", "--user-group", "--no-create-home", WEB_USER)
        yield machine


def skip(reason: str) -> NoReturn:
    if os.environ.get(REQUIRED):
        pytest.fail(f"${REQUIRED} is set, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """Give a machine with bangeod as contrib/install leaves it; the service does not run yet."""
    with booted() as machine:
        machine.run(*INSTALL, timeout=300)
        machine.run("sh", "-ec", MAKE_DATABASE)
        yield machine


@pytest.fixture
def service(machine: Machine) -> Iterator[Service]:
    """Give the service, stopped, with an empty database and no state."""
    service = Service(machine)
    yield service
    machine.run("systemctl", "stop", "bangeod.service", check=False)
