"""What the tests of faults share: the fixtures of the tests against the real daemon, and what takes half a minute."""

from collections.abc import Iterator

import pytest

from tests.daemon_process import DaemonProcess
from tests.faults.siege import SETTINGS, WATCHDOG, Siege
from tests.faults.trickling import Trickling
from tests.installation import Installation
from tests.integration.conftest import launch, place, start, systemd, watched
from tests.notify_socket import NotifySocket

__all__ = ["launch", "place", "start", "systemd", "watched"]


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
