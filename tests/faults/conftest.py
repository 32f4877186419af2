"""What the tests of faults share: a daemon whose jobs run when they are told to, and what takes half a minute."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.conftest import Start
from tests.faults.patient import Patient
from tests.faults.siege import SETTINGS, WATCHDOG, Siege
from tests.faults.soak import times
from tests.faults.trickling import Trickling
from tests.support.companion import Companion
from tests.support.daemon.installation import Installation
from tests.support.daemon.notify_socket import NotifySocket
from tests.support.daemon.process import DaemonProcess
from tests.support.mmdb.files import write_large_mmdb

VERSIONS = "SE", "NO"  # of the large MMDBs
SWAPS = times(2_000, 20_000)
REQUIRED = "BANGEOD_TESTS_REQUIRE_FAULTS"  # set where none of these tests may be skipped


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Count a test that is skipped as failed where it could run."""
    report = yield
    if report.skipped and os.environ.get(REQUIRED):
        report.outcome = "failed"
        report.longrepr = f"${REQUIRED} is set, but {item.nodeid} was skipped: {report.longrepr}"
    return report


@pytest.fixture
def patient(start: Start, place: Installation) -> Iterator[Patient]:
    """Give a daemon whose jobs run when they are told to."""
    patient = Patient(start, place)
    with patient.client:
        yield patient


@pytest.fixture(scope="session")
def trickling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trickling]:
    """Give a daemon that has requests trickling in; other tests can run meanwhile."""
    home = tmp_path_factory.mktemp("trickling")
    place = Installation(home / "bangeod")
    place.make()
    place.configure(SETTINGS)
    with NotifySocket(home / "notify") as systemd:
        environ = {"NOTIFY_SOCKET": str(systemd.path), **WATCHDOG}
        with DaemonProcess(place.config, environ=environ) as daemon:
            daemon.wait_for("ready")
            with Trickling(Siege(place, daemon, systemd)) as requests:
                yield requests


@pytest.fixture(scope="session")
def large_mmdbs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a directory with two files, each so large that none can be kept unnoticed, named by their country."""
    made = tmp_path_factory.mktemp("large")
    for country in VERSIONS:
        write_large_mmdb(made / country, country)
    return made


@pytest.fixture(scope="session")
def swapper(large_mmdbs: Path) -> Iterator[Companion]:
    """Give a process that swaps these thousands of times; other tests can run meanwhile."""
    with Companion("tests.support.mmdb.swapper", large_mmdbs, *VERSIONS, SWAPS) as process:
        yield process
