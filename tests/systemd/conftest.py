"""What the tests under real systemd share: one machine, on which contrib/install has installed bangeod."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NoReturn

import pytest

from tests.systemd.installed import installed
from tests.systemd.machine import Machine, MachineError
from tests.systemd.packages import PackagesError
from tests.systemd.service import Service

REQUIRED = "BANGEOD_TESTS_REQUIRE_SYSTEMD"  # set where these tests must not be skipped


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """Give a machine with bangeod as contrib/install leaves it, or skip the test and say why."""
    with ExitStack() as stack:
        try:
            machine = stack.enter_context(installed())
        except (MachineError, PackagesError) as error:
            _skip(str(error))
        yield machine


def _skip(reason: str) -> NoReturn:
    if os.environ.get(REQUIRED):
        pytest.fail(f"${REQUIRED} is set, but {reason}")
    pytest.skip(reason)


@pytest.fixture
def service(machine: Machine) -> Iterator[Service]:
    """Give the service, stopped, with an empty database and no state."""
    service = Service(machine)
    yield service
    machine.run("systemctl", "stop", "bangeod.service", check=False)
