"""What is no HTTP, or almost: the daemon answers with an error in its own form or hangs up; no harm is done."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bangeod.client import GeoClient, Status
from tests.conftest import Start
from tests.daemon_process import DaemonProcess
from tests.faults import malformed
from tests.faults.hostile import converse
from tests.faults.siege import CACHED, SETTINGS, WATCHDOG, Siege, troubles
from tests.faults.soak import times
from tests.installation import Installation
from tests.notify_socket import NotifySocket

pytestmark = pytest.mark.usefixtures("trickling")  # what it waits for can come while these run


@pytest.fixture(scope="module")
def daemon_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DaemonProcess, Path]]:
    """Give one daemon that all of the corpus is sent to, and its socket."""
    place = Installation(tmp_path_factory.mktemp("malformed") / "bangeod")
    place.make()
    place.configure(SETTINGS)
    with DaemonProcess(place.config) as daemon:
        daemon.wait_for("ready")
        yield daemon, place.home / "bangeod.sock"


@pytest.mark.parametrize("sent", malformed.CORPUS)
def test_a_malformed_request_gets_an_error_or_a_close(daemon_of_all: tuple[DaemonProcess, Path], sent: bytes) -> None:
    daemon, path = daemon_of_all
    logged = daemon.mark()
    assert all(400 <= reply.status < 500 for reply in converse(path, sent))
    with GeoClient(str(path)) as client:
        assert client.lookup(CACHED).status is Status.RESOLVED
    assert troubles(daemon.lines(since=logged)) == []


@pytest.mark.parametrize("sent", malformed.CORPUS)
def test_a_malformed_request_behind_good_ones_takes_nothing_but_its_connection(
    daemon_of_all: tuple[DaemonProcess, Path], sent: bytes
) -> None:
    """Good requests that come in one piece with a bad one are dropped, by aiohttp; what is answered keeps the order."""
    daemon, path = daemon_of_all
    logged = daemon.mark()
    statuses = [reply.status for reply in converse(path, malformed.GOOD[0] * 3 + sent)]
    good = statuses.count(200)
    assert statuses[:good] == [200] * good
    assert all(400 <= status < 500 for status in statuses[good:])
    assert troubles(daemon.lines(since=logged)) == []


def test_good_requests_with_some_bytes_changed_do_no_harm(
    start: Start, place: Installation, systemd: NotifySocket
) -> None:
    daemon = start(SETTINGS, environ={"NOTIFY_SOCKET": str(systemd.path), **WATCHDOG})
    siege = Siege(place, daemon, systemd)

    def send(seed: int) -> None:
        sent = malformed.mutated(random.Random(seed))
        replies = converse(siege.path, sent)
        assert all(reply.status < 500 for reply in replies), (seed, sent)

    with siege.laid(), ThreadPoolExecutor(8) as senders:
        list(senders.map(send, range(times(400, 20_000))))
