"""The commands' client: it makes of each answer, and of none, what GeoClient makes of it, without httpx."""

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path

import pytest

from bangeod.client import Entry, GeoClient, Status
from bangeod.client.blocking import BlockingClient
from bangeod.client.command_client import CommandClient
from bangeod.errors import BangeodError, NoDaemonError, RefusedError, SilentDaemonError
from tests.support.daemon.api_host import CACHED, Host, hosting
from tests.support.daemon.in_its_place import Crowd, listening, ok, say
from tests.support.feed import DEADLINE

# httpcore, for comparison, leaves the socket of a connection that failed to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Exception ignored .*<socket:pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("garbage_collected"),
]

KNOWN = Entry(CACHED, Status.RESOLVED, "DE", "Germany", "AS64500", "Example")
ENTRIES = b'{"entries": [{"ip": "8.8.8.8", "status": "resolved"}]}'


@pytest.fixture
async def host(tmp_path: Path) -> AsyncGenerator[Host, None]:
    async with hosting(tmp_path / "api.sock") as host:
        yield host


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Crowd]:
    with contextlib.closing(Crowd(tmp_path / "s")) as crowd:
        yield crowd


# --- with a daemon ---


async def test_it_asks_all_that_commands_ask(host: Host) -> None:
    def ask() -> None:
        with CommandClient(str(host.path), strict=True) as client:
            assert client.lookup(CACHED) == KNOWN
            assert [e.status for e in client.lookup_cached_only([CACHED, "x"])] == [Status.RESOLVED, Status.INVALID]
            assert [e.origin for e in client.lookup_batch([CACHED], origin=True)] == ["memory"]
            assert [e["ip"] for e in client.explain([CACHED])] == [CACHED]
            assert client.top("networks", banned=True, since=60, limit=5)["by"] == "networks"
            assert client.status()["pid"] == 42
            assert client.run_job("geo_cache_flush", dry_run=True)["outcome"] == "done"
            with pytest.raises(RefusedError, match="there is no such job") as caught:
                client.run_job("mining")
            assert (caught.value.status, caught.value.code) == (404, "unknown_job")

    await asyncio.to_thread(ask)


async def test_what_is_to_be_counted_can_not_become_another_request(host: Host) -> None:
    def ask() -> None:
        with CommandClient(str(host.path), strict=True) as client:
            for by in ("countries HTTP/1.0\r\n\r\n", "countries&banned=true", "jails"):
                with pytest.raises(RefusedError) as caught:
                    client.top(by)
                assert caught.value.status == 422

    await asyncio.to_thread(ask)
    assert host.backend.counts == []


async def test_a_large_batch_goes_in_parts_and_keeps_its_order(host: Host) -> None:
    ips = [f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in range(15_000)]
    with CommandClient(str(host.path), timeout=DEADLINE, strict=True) as client:
        entries = await asyncio.to_thread(client.lookup_batch, ips)
    assert [entry.ip for entry in entries] == ips


async def test_a_refusal_of_a_body_that_is_too_large_is_read_although_not_all_of_it_was_taken(host: Host) -> None:
    with CommandClient(str(host.path), timeout=DEADLINE) as client:
        reply = await asyncio.to_thread(client.exchange, "POST", "/v1/lookup", b" " * (3 << 20))
    assert reply.status == 413


# --- with something else in its place ---


def _outcome(client: BlockingClient) -> object:
    try:
        with client:
            return client.lookup(CACHED)
    except BangeodError as error:
        return type(error), getattr(error, "status", None), getattr(error, "code", None)


@pytest.mark.parametrize("client", [CommandClient, GeoClient])
@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (ok(ENTRIES), Entry(CACHED, Status.RESOLVED)),
        (b"HTTP/1.0 200 OK\r\n\r\n" + ENTRIES, Entry(CACHED, Status.RESOLVED)),  # as long as the connection
        (b"HTTP/1.1 200 OK\r\ncontent-LENGTH:%d\r\n\r\n%s" % (len(ENTRIES), ENTRIES), Entry(CACHED, Status.RESOLVED)),
        (b"HTTP/1.1 200\r\nContent-Length: %d\r\n\r\n%s" % (len(ENTRIES), ENTRIES), Entry(CACHED, Status.RESOLVED)),
        (b"", (RefusedError, 0, "")),
        (b"garbage", (RefusedError, 0, "")),
        (b"garbage\r\n\r\n", (RefusedError, 0, "")),
        (b"\x00" * 100, (RefusedError, 0, "")),
        (b"HTTP/1.1 20 OK\r\n\r\n", (RefusedError, 0, "")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", (RefusedError, 0, "")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", (RefusedError, 0, "")),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, (RefusedError, 0, "")),
        (ok(b"no JSON"), (RefusedError, 200, "")),
        (ok(b"[]"), (RefusedError, 200, "")),
        (ok(b'{"entries": []}'), (RefusedError, 0, "")),
        (ok(b"\xff\xfe"), (RefusedError, 200, "")),
        (ok(b"oops", "500 Internal Server Error"), (RefusedError, 500, "")),
        (ok(b'{"error": {"code": "busy", "message": "later"}}', "503 No"), (RefusedError, 503, "busy")),
        (ok(b"", "302 Found\r\nLocation: http://example.com/"), (RefusedError, 302, "")),
    ],
)
def test_each_answer_means_the_same_to_both(
    tmp_path: Path, client: Callable[..., BlockingClient], answer: bytes, outcome: object
) -> None:
    with listening(tmp_path / "s", say(answer)):
        assert _outcome(client(str(tmp_path / "s"), strict=True)) == outcome


def test_a_request_that_ends_with_its_daemon_is_sent_to_the_next(tmp_path: Path) -> None:
    connections: list[socket.socket] = []

    def answer(connection: socket.socket) -> None:
        connections.append(connection)
        if len(connections) == 1:
            connection.shutdown(socket.SHUT_RDWR)
        else:
            say(ok(ENTRIES))(connection)

    with listening(tmp_path / "s", answer), CommandClient(str(tmp_path / "s"), strict=True) as client:
        assert client.lookup(CACHED).status is Status.RESOLVED
    assert len(connections) == 2


def test_one_that_answers_and_keeps_the_connection_open_is_not_waited_for(tmp_path: Path) -> None:
    with (
        listening(tmp_path / "s", lambda connection: connection.sendall(ok(ENTRIES))),
        CommandClient(str(tmp_path / "s"), timeout=DEADLINE, strict=True) as client,
    ):
        began = time.monotonic()
        assert client.lookup(CACHED).status is Status.RESOLVED
        assert time.monotonic() - began < DEADLINE / 2


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha"])
def test_one_that_does_not_go_on_is_silent(tmp_path: Path, said: bytes) -> None:
    with (
        listening(tmp_path / "s", lambda connection: connection.sendall(said)),
        CommandClient(str(tmp_path / "s"), timeout=0.1, strict=True) as client,
        pytest.raises(SilentDaemonError, match="systemctl status bangeod"),
    ):
        client.lookup(CACHED)


def test_where_many_others_wait_to_be_accepted_it_does_so_too(
    tmp_path: Path, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bangeod.client.command_client.time.sleep", crowd.make_room)
    with CommandClient(str(tmp_path / "s"), timeout=DEADLINE, strict=True) as client:
        assert client.lookup(CACHED).status is Status.RESOLVED


@pytest.mark.usefixtures("crowd")
def test_one_that_accepts_nobody_is_silent_and_not_missing(tmp_path: Path) -> None:
    with (
        CommandClient(str(tmp_path / "s"), timeout=0.05, strict=True) as client,
        pytest.raises(SilentDaemonError, match="systemctl status bangeod"),
    ):
        client.lookup(CACHED)


# --- with nobody ---


@pytest.mark.parametrize("path", ["nobody", "not-a-directory/s", "too-long" * 20])
def test_without_a_daemon_both_say_the_same(tmp_path: Path, path: str) -> None:
    (tmp_path / "not-a-directory").touch()
    said = []
    for make in (CommandClient, GeoClient):
        with make(str(tmp_path / path), strict=True) as client, pytest.raises(NoDaemonError) as caught:
            client.lookup(CACHED)
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert "systemctl start bangeod" in said[0]


def test_a_socket_that_a_killed_daemon_left_is_no_daemon(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "s"))
    with CommandClient(str(tmp_path / "s"), strict=True) as client, pytest.raises(NoDaemonError):
        client.status()


@pytest.mark.slow
def test_its_import_brings_no_library_but_msgspec() -> None:
    program = (
        "import sys; import msgspec, msgspec.json; before = set(sys.modules); import bangeod.client.command_client; "
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["bangeod"]
