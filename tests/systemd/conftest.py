"""What the tests under real systemd share: a machine of each system, on which contrib/install has installed bangeod.

They run on a copy of this computer's system. Those that are marked ``systems`` run on the systems that are named there;
with $BANGEOD_TESTS_ALL_SYSTEMS, all of them run on all.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NoReturn

import pytest

from tests.systemd.installed import installed
from tests.systemd.machine import Machine, MachineError
from tests.systemd.packages import PackagesError
from tests.systemd.service import Service
from tests.systemd.systems import HERE, SYSTEMS, NoSystemError

REQUIRED = "BANGEOD_TESTS_REQUIRE_SYSTEMD"  # set where these tests must not be skipped
ON_ALL = "BANGEOD_TESTS_ALL_SYSTEMS"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that needs a machine on each of its systems, one system after the other."""
    if "system" in metafunc.fixturenames:
        metafunc.parametrize("system", _systems(metafunc.definition), indirect=True, scope="session")


def _systems(test: pytest.Item) -> list[str]:
    marker = test.get_closest_marker("systems")
    chosen = (HERE,) if marker is None else marker.args
    if os.environ.get(ON_ALL) and HERE in chosen:  # else it tests what only some have
        return list(SYSTEMS)
    return list(chosen)


@pytest.fixture(scope="session")
def system(request: pytest.FixtureRequest) -> str:
    """Give the name of the system."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def machine(system: str) -> Iterator[Machine]:
    """Give a machine with bangeod as contrib/install leaves it, or skip the test and say why."""
    with ExitStack() as stack:
        try:
            machine = stack.enter_context(installed(system))
        except NoSystemError as error:
            pytest.skip(str(error))
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
