"""The client: what it makes of a daemon, of none, and of one that has lost its mind."""

import asyncio
import contextlib
import logging
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from bangeod.api.messages import TopQuery
from bangeod.client import AsyncGeoClient, Entry, GeoClient, Status
from bangeod.errors import NoDaemonError, RefusedError, SilentDaemonError
from bangeod.model import Geo
from tests.support.daemon.api_host import CACHED, Host, hosting
from tests.support.daemon.in_its_place import Crowd, listening, ok, say
from tests.support.feed import DEADLINE

# httpcore leaves the socket of a connection that failed to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Exception ignored .*<socket:pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("garbage_collected"),
]

KNOWN = Entry(CACHED, Status.RESOLVED, "DE", "Germany", "AS64500", "Example")


@pytest.fixture
async def host(tmp_path: Path) -> AsyncGenerator[Host, None]:
    async with hosting(tmp_path / "api.sock") as host:
        yield host


# --- with a daemon that is silent ---


async def test_many_who_ask_a_silent_daemon_at_once_wait_no_longer_than_one(tmp_path: Path) -> None:
    connections: list[socket.socket] = []
    with listening(tmp_path / "silent", connections.append):
        async with AsyncGeoClient(str(tmp_path / "silent"), timeout=0.5) as client:
            entries = await asyncio.gather(*(client.lookup(f"8.8.8.{number}") for number in range(200)))
            assert {entry.status for entry in entries} == {Status.UNKNOWN}
            assert len(connections) <= 32
            assert (await client.lookup("8.8.8.8")).status is Status.UNKNOWN
    assert len(connections) <= 32


async def test_a_daemon_that_does_not_even_read_a_large_batch_is_silent_as_well(tmp_path: Path) -> None:
    more_than_fits = [f"2001:4860:4860:0000:0000:0000:0000:{number:04x}" for number in range(10_000)]
    connections: list[socket.socket] = []
    with listening(tmp_path / "silent", connections.append):
        async with asyncio.timeout(DEADLINE), AsyncGeoClient(str(tmp_path / "silent"), timeout=0.1) as client:
            entries = await client.lookup_batch(more_than_fits)
    assert {entry.status for entry in entries} == {Status.UNKNOWN}


async def test_an_address_for_which_a_source_takes_its_time_is_no_silence(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bangeod.client.protocol._ANSWERED_AFTER", 0.0)
    host.backend.world.with_remote({}).gate.clear()
    async with AsyncGeoClient(str(host.path), timeout=5) as client:
        assert (await client.lookup("1.1.1.1")).status is Status.UNRESOLVED
        assert await client.lookup(CACHED) == KNOWN


def test_the_daemon_is_told_to_answer_before_the_client_gives_up(tmp_path: Path) -> None:
    asked: list[bytes] = []

    def note(connection: socket.socket) -> None:
        asked.append(connection.recv(65_536))
        connection.shutdown(socket.SHUT_RDWR)

    with listening(tmp_path / "s", note), GeoClient(str(tmp_path / "s"), timeout=0.5) as client:
        client.lookup(CACHED)
    assert asked[0].startswith(b"POST /v1/lookup?wait=0.400 ")


def test_a_daemon_that_was_silent_is_asked_again_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connections: list[socket.socket] = []
    with listening(tmp_path / "silent", connections.append), GeoClient(str(tmp_path / "silent"), timeout=0.1) as client:
        for _ in range(3):
            assert client.lookup("8.8.8.8").status is Status.UNKNOWN
        assert len(connections) == 1
        monkeypatch.setattr("bangeod.client.protocol.time.monotonic", lambda now=time.monotonic: now() + 1.0)
        client.lookup("8.8.8.8")
    assert len(connections) == 2


def test_what_is_no_text_is_looked_up_as_it_is_written(tmp_path: Path) -> None:
    with GeoClient(str(tmp_path / "nobody")) as client:
        asked: list[str] = [ip_address("8.8.8.8"), None]  # type: ignore[list-item]
        assert [entry.ip for entry in client.lookup_batch(asked)] == ["8.8.8.8", "None"]


# --- with a daemon ---


async def test_an_address_is_looked_up(host: Host) -> None:
    async with AsyncGeoClient(str(host.path)) as client:
        assert await client.lookup(CACHED) == KNOWN
        assert (await client.lookup("10.0.0.1")).status is Status.PRIVATE


async def test_a_sync_client_does_the_same(host: Host) -> None:
    def ask() -> tuple[Entry, list[Entry]]:
        with GeoClient(str(host.path)) as client:
            return client.lookup(CACHED), client.lookup_batch([CACHED, "nonsense"])

    one, batch = await asyncio.to_thread(ask)
    assert one == KNOWN
    assert [entry.status for entry in batch] == [Status.RESOLVED, Status.INVALID]


async def test_only_cached_addresses_are_found_without_asking_sources(host: Host) -> None:
    host.backend.world.local.places["1.1.1.1"] = Geo("AU")
    async with AsyncGeoClient(str(host.path)) as client:
        assert [entry.status for entry in await client.lookup_cached_only([CACHED, "1.1.1.1"])] == [
            Status.RESOLVED,
            Status.UNRESOLVED,
        ]
        assert (await client.lookup("1.1.1.1")).country_code == "AU"


async def test_a_large_batch_goes_in_parts_and_keeps_its_order(host: Host) -> None:
    ips = [f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in range(25_000)]
    async with AsyncGeoClient(str(host.path), timeout=20) as client:
        assert [entry.ip for entry in await client.lookup_batch(ips)] == ips
    assert host.server.figures.requests == 3


async def test_an_empty_batch_asks_nobody(tmp_path: Path) -> None:
    async with AsyncGeoClient(str(tmp_path / "nobody")) as client:
        assert await client.lookup_batch([]) == []


async def test_the_status_and_a_run_are_what_the_daemon_says(host: Host) -> None:
    async with AsyncGeoClient(str(host.path)) as client:
        assert (await client.status())["pid"] == 42
        assert (await client.top("networks", banned=True, since=60, limit=5))["by"] == "networks"
        await client.top(banned=True, here=True)
        report = await client.run_job("geo_cache_flush", dry_run=True)
    asked = TopQuery("networks", banned=True, since=60, limit=5)
    assert host.backend.counts == [asked, TopQuery(banned=True, here=True)]
    assert (report["outcome"], report["dry"]) == ("done", True)


async def test_a_job_that_there_is_not_is_refused(host: Host) -> None:
    async with AsyncGeoClient(str(host.path)) as client:
        with pytest.raises(RefusedError, match="there is no such job") as caught:
            await client.run_job("mining")
    assert (caught.value.status, caught.value.code) == (404, "unknown_job")


async def test_the_client_outlives_the_daemon(tmp_path: Path) -> None:
    async with AsyncGeoClient(str(tmp_path / "s")) as client:
        for _ in range(3):
            async with hosting(tmp_path / "s"):
                assert await client.lookup(CACHED) == KNOWN
            assert (await client.lookup(CACHED)).status is Status.UNKNOWN


def test_a_connection_that_was_kept_and_is_closed_on_the_next_request_is_made_anew(tmp_path: Path) -> None:
    body = b'{"entries": [{"ip": "8.8.8.8", "status": "resolved"}]}'
    connections = []

    def answer(connection: socket.socket) -> None:
        connections.append(connection)
        connection.recv(65_536)
        connection.sendall(ok(body))
        if len(connections) == 1:
            connection.recv(65_536)
            connection.shutdown(socket.SHUT_RDWR)

    with listening(tmp_path / "s", answer), GeoClient(str(tmp_path / "s"), strict=True) as client:
        assert [client.lookup(CACHED).status for _ in range(2)] == [Status.RESOLVED] * 2
    assert len(connections) == 2


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Crowd]:
    with contextlib.closing(Crowd(tmp_path / "s")) as crowd:
        yield crowd


def test_where_many_others_wait_to_be_accepted_a_client_does_so_too(
    tmp_path: Path, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bangeod.client.clients.time.sleep", crowd.make_room)
    with GeoClient(str(tmp_path / "s"), timeout=DEADLINE, strict=True) as client:
        assert client.lookup(CACHED).status is Status.RESOLVED


async def test_an_async_client_pauses_until_it_tries_again_to_be_accepted(
    tmp_path: Path, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleep = asyncio.sleep

    async def pause(seconds: float) -> None:
        if seconds:
            crowd.make_room(seconds)
        await sleep(0)

    monkeypatch.setattr("asyncio.sleep", pause)
    async with AsyncGeoClient(str(tmp_path / "s"), timeout=DEADLINE, strict=True) as client:
        assert (await client.lookup(CACHED)).status is Status.RESOLVED


@pytest.mark.usefixtures("crowd")
def test_a_client_waits_to_be_accepted_for_no_longer_than_it_waits_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("bangeod.client.clients.time.sleep", slept.append)
    monkeypatch.setattr("bangeod.client.clients.time.monotonic", lambda: sum(slept))
    with GeoClient(str(tmp_path / "s"), timeout=0.2) as client:
        assert client.lookup(CACHED).status is Status.UNKNOWN
        assert sum(slept) == pytest.approx(0.2, abs=0.02)
        assert client.lookup(CACHED).status is Status.UNKNOWN  # at once: it was silent
        assert sum(slept) == pytest.approx(0.2, abs=0.02)


@pytest.mark.usefixtures("crowd")
def test_a_daemon_that_accepts_nobody_is_silent_and_not_missing(tmp_path: Path) -> None:
    with (
        GeoClient(str(tmp_path / "s"), timeout=0.05, strict=True) as client,
        pytest.raises(SilentDaemonError, match="systemctl status bangeod"),
    ):
        client.lookup(CACHED)


@pytest.mark.usefixtures("crowd")
async def test_to_an_async_client_it_is_too(tmp_path: Path) -> None:
    async with AsyncGeoClient(str(tmp_path / "s"), timeout=0.05, strict=True) as client:
        with pytest.raises(SilentDaemonError, match="systemctl status bangeod"):
            await client.status()


# --- without ---


async def test_without_a_daemon_an_address_is_unknown(tmp_path: Path) -> None:
    async with AsyncGeoClient(str(tmp_path / "nobody")) as client:
        assert await client.lookup(CACHED) == Entry(CACHED, Status.UNKNOWN)
        with pytest.raises(NoDaemonError, match="systemctl start bangeod"):
            await client.status()


def test_the_same_trouble_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with GeoClient(str(tmp_path / "nobody")) as client, caplog.at_level(logging.WARNING, "bangeod.client"):
        for _ in range(3):
            client.lookup(CACHED)
    assert [record.name for record in caplog.records] == ["bangeod.client"]


def test_a_record_of_the_log_keeps_no_error_and_with_it_no_socket(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with GeoClient(str(tmp_path / "nobody")) as client, caplog.at_level(logging.WARNING, "bangeod.client"):
        client.lookup("8.8.8.8")
    (record,) = caplog.records
    assert isinstance(record.args, tuple)
    assert [type(argument) for argument in record.args] == [str]
    assert record.exc_info is None


def test_a_strict_client_raises_instead(tmp_path: Path) -> None:
    with GeoClient(str(tmp_path / "nobody"), strict=True) as client, pytest.raises(NoDaemonError):
        client.lookup(CACHED)


def test_a_socket_that_a_killed_daemon_left_is_no_daemon(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "s"))
    with GeoClient(str(tmp_path / "s"), strict=True) as client, pytest.raises(NoDaemonError):
        client.lookup(CACHED)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage",
        b"\x00" * 100,
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        ok(b"no JSON"),
        ok(b"[]"),
        ok(b'{"entries": []}'),
        ok(b'{"entries": [{"ip": 8}]}'),
        ok(b'{"entries": [{"ip": "8.8.8.8", "status": "elsewhere"}]}'),
        ok(b"\xff\xfe"),
        ok(b"oops", "500 Internal Server Error"),
        ok(b'{"error": {"code": "busy", "message": "later"}}', "503 Service Unavailable"),
        ok(b"", "302 Found\r\nLocation: http://example.com/"),
    ],
)
def test_whatever_is_answered_a_lookup_does_not_raise(tmp_path: Path, answer: bytes) -> None:
    with listening(tmp_path / "s", say(answer)), GeoClient(str(tmp_path / "s")) as client:
        assert client.lookup(CACHED) == Entry(CACHED, Status.UNKNOWN)


def test_a_daemon_that_hangs_is_waited_for_briefly(tmp_path: Path) -> None:
    def hang(_: socket.socket) -> None:
        pass

    with listening(tmp_path / "s", hang), GeoClient(str(tmp_path / "s"), timeout=0.05) as client:
        assert client.lookup(CACHED).status is Status.UNKNOWN
        with pytest.raises(SilentDaemonError):
            client.status()


@pytest.mark.slow
def test_the_import_brings_nothing_beyond_httpx_and_msgspec() -> None:
    program = (
        "import sys; import httpx, httpcore, msgspec, msgspec.json; before = set(sys.modules); "
        "from bangeod.client import *; "
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["bangeod"]


@pytest.mark.slow
def test_the_import_brings_no_other_part_of_bangeod() -> None:
    program = (
        "import sys; from bangeod.client import GeoClient; "
        "print(*sorted(m for m in sys.modules if m.startswith('bangeod')))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [
        "bangeod",
        *("bangeod.client", "bangeod.client.blocking", "bangeod.client.clients", "bangeod.client.connecting"),
        "bangeod.client.protocol",
        "bangeod.errors",
    ]


async def test_what_each_source_says_is_what_the_daemon_says(host: Host) -> None:
    async with AsyncGeoClient(str(host.path)) as client:
        assert [each["ip"] for each in await client.explain([CACHED, "no address"])] == [CACHED, "no address"]
    with GeoClient(str(host.path)) as blocking:
        (explanation,) = await asyncio.to_thread(blocking.explain, [CACHED])
    assert explanation["ip"] == CACHED
