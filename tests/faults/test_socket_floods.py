"""Floods of the real daemon's socket: others are served all along, memory is bounded, and no descriptor stays."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle

import pytest

from bangeod.api.connections import MOST_CONNECTIONS
from tests.benchmarks import attack
from tests.conftest import Start
from tests.faults import allowed
from tests.faults.hostile import (
    BATCH,
    CHUNK,
    GET,
    answers,
    connect,
    is_hung_up,
    received,
    send,
    wait_until_hung_up,
)
from tests.faults.siege import SETTINGS, WATCHDOG, Siege
from tests.faults.soak import times
from tests.support.daemon.installation import Installation
from tests.support.daemon.notify_socket import NotifySocket
from tests.support.feed import DEADLINE, eventually

# httpcore leaves the socket of a connection that failed to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Exception ignored .*<socket:pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("garbage_collected"),
]

GIBIBYTE = 1 << 30
HALF_A_BODY = attack.POST + b"Content-Length: 1000\r\n\r\n{"
HALF_A_CHUNK = attack.POST + b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n{"


@pytest.fixture
def siege(start: Start, place: Installation, systemd: NotifySocket) -> Siege:
    daemon = start(SETTINGS, environ={"NOTIFY_SOCKET": str(systemd.path), **WATCHDOG})
    return Siege(place, daemon, systemd)


ATTACKED_FOR = times(5, 60)  # seconds at least


@contextmanager
def attackers(siege: Siege, connections: int) -> Iterator[subprocess.Popen[str]]:
    """Give a process that attacks in all ways, from when it has been noticed until it is ended."""
    most = ATTACKED_FOR + 4 * DEADLINE  # seconds: each wait for honest clients has its deadline
    command = [sys.executable, "-m", "tests.benchmarks.attack", str(siege.path), str(connections), str(most)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            eventually(lambda: siege.api()["turned_away"] > 0, "there are more connections than there may be")
            yield process
        finally:
            process.terminate()


def test_all_kinds_of_attack_at_once_keep_nobody_from_being_served(siege: Siege) -> None:
    with siege.laid(allowed.ALL_KINDS) as honest, attackers(siege, connections=400) as attacker:
        honest.are_served()
        with pytest.raises(subprocess.TimeoutExpired):  # it is still at work
            attacker.wait(ATTACKED_FOR)
        honest.are_served()
        assert attacker.poll() is None
        attacker.terminate()
        sent = json.loads(attacker.communicate(timeout=DEADLINE)[0])
    assert all(sent[kind.__name__] > 0 for kind in attack.KINDS)


def test_thousands_of_connects_and_closes_leave_nothing_behind(siege: Siege) -> None:
    sent = cycle([b"", b"G", GET, GET * 20])
    with siege.laid(allowed.LITTLE) as honest:
        for _ in honest.attacked(times(4_000, 100_000)):
            with connect(siege.path) as client:
                client.sendall(next(sent))


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(attack.POST, id="half a header"),
        pytest.param(HALF_A_BODY, id="half a body"),
        pytest.param(HALF_A_CHUNK, id="half a chunk"),
        pytest.param(attack.POST + b"Content-Length: 900000\r\n\r\n" + b" " * 800_000, id="most of a large body"),
    ],
)
def test_clients_that_vanish_in_the_middle_of_a_request_leave_nothing_behind(siege: Siege, sent: bytes) -> None:
    with siege.laid(allowed.bodies(len(sent))) as honest:
        for _ in honest.attacked(times(150, 5_000)):
            with connect(siege.path) as client:
                client.sendall(sent)


def test_clients_that_vanish_in_the_middle_of_an_answer_leave_nothing_behind(siege: Siege) -> None:
    with siege.laid(allowed.LEFT_ANSWERS) as honest:
        for _ in honest.attacked(times(40, 1_000)):
            with connect(siege.path) as client:
                client.sendall(BATCH)
                assert client.recv(100).startswith(b"HTTP/1.1 200")


def test_clients_that_vanish_while_a_job_runs_for_them_leave_nothing_behind(siege: Siege) -> None:
    run = b"POST /v1/jobs/geo_cache_cleanup/run HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    with siege.laid(allowed.LITTLE) as honest:
        for _ in honest.attacked(times(100, 2_000)):
            with connect(siege.path) as client:
                client.sendall(run)


def test_answers_that_nobody_reads_are_given_up(siege: Siege) -> None:
    clients = times(48, 200)
    with siege.laid(allowed.unread_answers(clients)) as honest:
        deaf = []
        for _ in range(clients):
            deaf.append(connect(siege.path))
            deaf[-1].sendall(BATCH)
        honest.are_served()
        assert not all(map(is_hung_up, deaf))
        wait_until_hung_up(deaf)


@pytest.mark.parametrize(
    ("header", "piece"),
    [
        pytest.param(b"Content-Length: %d" % GIBIBYTE, b" " * CHUNK, id="announced"),
        pytest.param(b"Transfer-Encoding: chunked", b"%x\r\n%s\r\n" % (CHUNK, b" " * CHUNK), id="chunked"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n40000000", b" " * CHUNK, id="in one chunk"),
    ],
)
def test_a_body_of_a_gibibyte_is_refused_and_not_kept(siege: Siege, header: bytes, piece: bytes) -> None:
    with siege.laid(allowed.ONE_BODY) as honest:
        for _ in honest.attacked(1):
            with connect(siege.path) as client:
                client.sendall(attack.POST + header + b"\r\n\r\n")
                send(client, piece, GIBIBYTE)
                assert [(reply.status, reply.code) for reply in answers(received(client))] == [(413, "too_large")]


def test_more_open_connections_than_there_may_be_keep_nobody_out(siege: Siege) -> None:
    with siege.laid(allowed.LITTLE) as honest:
        idle = [connect(siege.path) for _ in range(600)]
        honest.are_served()
        api = siege.api()
        assert api["connections"] <= MOST_CONNECTIONS
        assert api["turned_away"] >= 600 - MOST_CONNECTIONS
        assert not all(map(is_hung_up, idle))
        for connection in idle:
            connection.close()
