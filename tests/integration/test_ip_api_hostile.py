"""A hostile server, or somebody on the line, in ip-api.com's place: the client gives up in time, small, and alone."""

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable

import pytest

from bangeod.errors import SourcePausedError
from bangeod.geo.sources.ip_api.client import IpApi
from tests.support.manual_clock import ManualClock
from tests.support.servers.ip_api import IpApiServer, Pauses
from tests.support.servers.loopback import Request, endless, respond

A = "8.8.8.8"
MIB = 1 << 20
TIMEOUT = 0.3  # seconds, of real time: what is tested is that it holds
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def server(clock: ManualClock) -> AsyncIterator[IpApiServer]:
    async with IpApiServer(clock) as server:
        yield server


@pytest.fixture
async def elsewhere(clock: ManualClock) -> AsyncIterator[IpApiServer]:
    """Give a second server, that nobody may talk to."""
    async with IpApiServer(clock) as server:
        yield server
        assert server.connections == 0


@pytest.fixture
async def client(server: IpApiServer, clock: ManualClock) -> AsyncIterator[IpApi]:
    client = IpApi(url=server.url, timeout=10, clock=clock, pause_store=Pauses())
    yield client
    await client.close()


def zeros_gzipped(count: int) -> bytes:
    return gzip.compress(bytes(count))


def zeros_deflated(count: int) -> bytes:
    return zlib.compress(bytes(count))


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", zeros_gzipped), ("deflate", zeros_deflated), ("GZip, gzip", zeros_gzipped)]
)
async def test_a_compressed_answer_is_not_unpacked(
    server: IpApiServer, client: IpApi, encoding: str, compress: Callable[[int], bytes]
) -> None:
    body = compress(200 * MIB)
    assert len(body) < MIB
    server.script.append(respond(200, {"Content-Encoding": encoding}, body))
    tracemalloc.start()
    try:
        with pytest.raises(SourcePausedError, match="compressed"):
            await client.resolve([A])
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 8 * MIB
    assert server.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("status", [200, 429, 500])
async def test_an_answer_of_a_gibibyte_is_left_on_the_line(server: IpApiServer, client: IpApi, status: int) -> None:
    sent = 0

    async def flood(_: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(f"HTTP/1.1 {status} Whatever\r\nContent-Length: {1 << 30}\r\n\r\n".encode())
        while sent < 1 << 30:
            writer.write(b" " * 65_536)
            await writer.drain()
            sent += 65_536

    server.script.append(flood)
    with pytest.raises(SourcePausedError):
        await client.resolve([A])
    assert sent < 32 * MIB  # what the kernel's buffers take, and the mebibyte


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\n\r\n[", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"],
    ids=["body", "headers", "chunks"],
)
async def test_what_drips_meets_the_deadline_of_the_whole_request(
    server: IpApiServer, clock: ManualClock, head: bytes
) -> None:
    client = IpApi(url=server.url, timeout=TIMEOUT, clock=clock, pause_store=Pauses())
    piece = b"1\r\n \r\n" if b"chunked" in head else b" "
    server.script.append(endless(head, piece, pause=TIMEOUT / 30))  # each piece in time for a timeout of reading
    with pytest.raises(SourcePausedError, match=r"did not answer within 0\.3 s"):
        await asyncio.wait_for(client.resolve([A]), 20)
    await client.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(
    server: IpApiServer, elsewhere: IpApiServer, client: IpApi, status: int
) -> None:
    server.script.append(respond(status, {"Location": elsewhere.url}))
    with pytest.raises(SourcePausedError, match="redirects elsewhere"):
        await client.resolve([A])
    assert len(server.requests) == 1


async def test_proxies_of_the_environment_are_not_used(
    server: IpApiServer, elsewhere: IpApiServer, client: IpApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in PROXIES:
        monkeypatch.setenv(name, elsewhere.url.removesuffix("/batch"))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert await client.resolve([A]) == {A: None}
    assert server.offences == []
