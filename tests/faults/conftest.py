"""What the tests of faults share: a daemon whose jobs run when they are told to, and what takes half a minute."""

from collections.abc import Iterator

import pytest

from tests.conftest import Start
from tests.daemon_process import DaemonProcess
from tests.faults.long_lock import LongLock
from tests.faults.patient import Patient
from tests.faults.siege import SETTINGS, WATCHDOG, Siege
from tests.faults.trickling import Trickling
from tests.installation import Installation
from tests.notify_socket import NotifySocket


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
def locked_for_long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LongLock]:
    """Give a daemon whose database another process locks from now on; other tests can run meanwhile."""
    with LongLock(tmp_path_factory.mktemp("locked")) as scene:
        yield scene
