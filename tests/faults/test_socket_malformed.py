"""What is no HTTP, or almost: the daemon answers with an error in its own form or hangs up; no harm is done."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bangeod.client import GeoClient, Status
from tests.conftest import Start
from tests.faults import allowed, malformed
from tests.faults.hostile import converse
from tests.faults.siege import CACHED, SETTINGS, WATCHDOG, Siege, troubles
from tests.faults.soak import times
from tests.support.daemon.installation import Installation
from tests.support.daemon.notify_socket import NotifySocket
from tests.support.daemon.process import DaemonProcess
from tests.support.feed import DEADLINE

GOOD_ONES = 3  # that come before a malformed one
SENDERS = 8
AT_A_TIME = 50  # requests


@pytest.fixture(scope="module")
def daemon_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DaemonProcess, Path]]:
    """Give one daemon that all of the corpus is sent to, and its socket."""
    place = Installation(tmp_path_factory.mktemp("malformed") / "bangeod")
    place.make()
    place.configure(SETTINGS)
    with DaemonProcess(place.config) as daemon:
        daemon.wait_for("ready")
        yield daemon, place.home / "bangeod.sock"


@pytest.mark.parametrize(("sent", "status"), malformed.CORPUS)
def test_a_malformed_request_gets_its_error_or_a_close(
    daemon_of_all: tuple[DaemonProcess, Path], sent: bytes, status: int
) -> None:
    daemon, path = daemon_of_all
    logged = daemon.mark()
    answered = _answered(status)
    assert [reply.status for reply in converse(path, sent, awaited=len(answered))] == answered
    with GeoClient(str(path), timeout=DEADLINE) as client:
        assert client.lookup(CACHED).status is Status.RESOLVED
    assert troubles(daemon.lines(since=logged)) == []


@pytest.mark.parametrize(("sent", "status"), malformed.CORPUS)
def test_a_malformed_request_behind_good_ones_takes_nothing_but_its_connection(
    daemon_of_all: tuple[DaemonProcess, Path], sent: bytes, status: int
) -> None:
    """Good requests that come in one piece with what is no HTTP are dropped, by aiohttp; the order is kept."""
    daemon, path = daemon_of_all
    logged = daemon.mark()
    answered = _answered(status)
    replies = converse(path, malformed.GOOD[0] * GOOD_ONES + sent, awaited=GOOD_ONES + len(answered))
    statuses = [reply.status for reply in replies]
    good = len(statuses) - len(answered)
    assert statuses == [200] * good + answered
    assert good in (range(GOOD_ONES + 1) if status == 400 else [GOOD_ONES])
    assert troubles(daemon.lines(since=logged)) == []


def _answered(status: int) -> list[int]:
    return [] if status == malformed.CLOSED else [status]


def test_good_requests_with_some_bytes_changed_do_no_harm(
    start: Start, place: Installation, systemd: NotifySocket
) -> None:
    daemon = start(SETTINGS, environ={"NOTIFY_SOCKET": str(systemd.path), **WATCHDOG})
    siege = Siege(place, daemon, systemd)

    def send(seed: int) -> None:
        sent = malformed.mutated(random.Random(seed))
        replies = converse(siege.path, sent)
        assert all(reply.status < 500 for reply in replies), (seed, sent)

    with siege.laid(allowed.LITTLE) as honest, ThreadPoolExecutor(SENDERS) as senders:
        for number in honest.attacked(times(8, 400)):
            list(senders.map(send, range(number * AT_A_TIME, (number + 1) * AT_A_TIME)))
