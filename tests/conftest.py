"""What all tests against the real daemon share: an installation of its own for each, daemons that always end."""

import gc
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support.daemon.installation import Installation
from tests.support.daemon.notify_socket import NotifySocket
from tests.support.daemon.process import DaemonProcess
from tests.support.servers import postgres

Start = Callable[..., DaemonProcess]

# Where all cores are filled, how long something takes says nothing.
settings.register_profile("all-cores", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("all-cores"), max_examples=10)


def pytest_configure() -> None:
    """Heed Ctrl-C, also as a job in the background of a shell: what is started would inherit that it is ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish() -> None:
    """End the server that tests have shared."""
    postgres.end_shared()


@pytest.fixture(scope="module")
def garbage_collected() -> Iterator[None]:
    """Collect what a module's tests leave, while what they ignore is ignored, and not in the midst of other tests."""
    yield
    gc.collect()


@pytest.fixture
def place(tmp_path: Path) -> Installation:
    """Give a directory with an empty database and a config by which nothing runs by itself."""
    place = Installation(tmp_path / "bangeod")
    place.make()
    return place


@pytest.fixture
def launch() -> Iterator[Start]:
    """Give a function that starts a daemon on a config file; what still runs at the end of the test is killed."""
    with ExitStack() as running:

        def launch(config: Path, **arguments: Any) -> DaemonProcess:
            return running.enter_context(DaemonProcess(config, **arguments))

        yield launch


@pytest.fixture
def start(launch: Start, place: Installation) -> Start:
    """Give a function that starts a daemon on ``place`` and waits until it is ready and has read its table."""

    def start(*changes: dict[str, object], **arguments: Any) -> DaemonProcess:
        if changes:
            place.configure(*changes)
        daemon = launch(place.config, **arguments)
        daemon.wait_until_loaded()
        return daemon

    return start


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[NotifySocket]:
    """Give a datagram socket in systemd's place."""
    with NotifySocket(tmp_path / "notify") as manager:
        yield manager


@pytest.fixture
def watched(start: Start, systemd: NotifySocket) -> Start:
    """Give ``start`` with systemd at the other end."""

    def watched(*changes: dict[str, object], **arguments: Any) -> DaemonProcess:
        return start(*changes, environ={"NOTIFY_SOCKET": str(systemd.path)}, **arguments)

    return watched
