"""A strict stand-in for ip-api.com's batch endpoint, on loopback: it keeps its own books and notes every offence.

Its limits are those of ip-api.com's documentation: 15 requests in a window of 60 s, counted from the first; 429
above, and the one who goes on is banned.
"""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Final, NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

from bangeod.clock import Clock
from tests.ip_api_rules import judge_addresses

WINDOW: Final = 60.0
BAN: Final = 3600.0
FIELDS: Final = {"status", "message", "country", "countryCode", "as", "org", "query"}


class Pauses:
    """A pause store in memory; it notes what was saved."""

    def __init__(self, until: float | None = None) -> None:
        self.until = until
        self.saved: list[float | None] = []
        self.broken = False

    def load_pause(self) -> float | None:
        return self.until

    async def save_pause(self, until: float | None) -> None:
        if self.broken:
            raise OSError(28, "No space left on device")
        self.until = until
        self.saved.append(until)


class Request(NamedTuple):
    """A request as it came in."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def asked(self) -> Sequence[str]:
        asked: Sequence[str] = json.loads(self.body)
        return asked

    @property
    def query(self) -> Mapping[str, Sequence[str]]:
        return parse_qs(urlsplit(self.target).query)


Reply = Callable[[Request, asyncio.StreamWriter], Coroutine[None, None, None]]


class IpApiServer:
    """Listens while it is entered. ``script`` holds replies for the requests to come, before the usual ones."""

    def __init__(self, clock: Clock, *, limit: int = 15, tells: bool = True) -> None:
        self.known: dict[str, dict[str, str]] = {}  # what it answers, by address; "fail" for the others
        self.script: deque[Reply] = deque()
        self.offences: list[str] = []
        self.offending = 0  # requests that were an offence
        self.requests: list[Request] = []
        self.times: list[float] = []  # monotonic, when each request was there
        self.connections = 0  # ever made
        self._arrived = asyncio.Event()
        self._clock = clock
        self._limit = limit
        self._tells = tells  # sends X-Rl and X-Ttl
        self._window_start = float("-inf")
        self._in_window = 0
        self._closed_until = float("-inf")
        self._in_flight = 0
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/batch"

    def close_for(self, seconds: float) -> None:
        """Count every request within this time as an offence."""
        self._closed_until = max(self._closed_until, self._clock.monotonic() + seconds)

    async def arrival(self) -> None:
        """Wait for the next request to come in."""
        await asyncio.wait_for(self._arrived.wait(), 60)
        self._arrived.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self.connections += 1
        self._connections.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await _read(reader)
        self.requests.append(request)
        self.times.append(self._clock.monotonic())
        self._in_flight += 1
        offences = len(self.offences)
        try:
            self._judge(request)
            self._arrived.set()
            over = self._count()
            self.offending += len(self.offences) > offences
            reply = self.script.popleft() if self.script else self._limited if over else self._answer
            await _until_hangup(asyncio.create_task(reply(request, writer)), reader)
        finally:
            self._in_flight -= 1

    def _judge(self, request: Request) -> None:
        if self._in_flight > 1:
            self.offences.append("a second request while one is in flight")
        if self._clock.monotonic() < self._closed_until:
            self.offences.append("a request while none may be sent")
        if request.method != "POST" or urlsplit(request.target).path != "/batch":
            self.offences.append(f"{request.method} {request.target}")
        if request.headers.get("content-type") != "application/json":
            self.offences.append("the content is not said to be JSON")
        if set(",".join(request.query.get("fields", [])).split(",")) != FIELDS:
            self.offences.append(f"fields {request.query.get('fields')}")
        self.offences += judge_addresses(request.body)

    def _count(self) -> bool:
        now = self._clock.monotonic()
        if now >= self._window_start + WINDOW:
            self._window_start = now
            self._in_window = 0
        self._in_window += 1
        if self._in_window >= self._limit:
            self.close_for(self._window_start + WINDOW - now)
        if self._in_window > self._limit:
            self.offences.append("more requests than the limit")
        return self._in_window > self._limit

    def quota(self) -> dict[str, str]:
        """Return the headers that tell what is left."""
        if not self._tells:
            return {}
        left = max(0, self._limit - self._in_window)
        return {"X-Rl": str(left), "X-Ttl": str(int(self._window_start + WINDOW - self._clock.monotonic()))}

    async def _limited(self, request: Request, writer: asyncio.StreamWriter) -> None:
        await respond(429, self.quota())(request, writer)

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        # Last one first: the order of the answers says nothing.
        items = [self.item(ip) for ip in reversed(request.asked)]
        await respond(200, self.quota(), json.dumps(items).encode())(request, writer)

    def item(self, ip: str) -> dict[str, str]:
        """Return the element about an address."""
        if ip in self.known:
            return {"status": "success", "query": ip} | self.known[ip]
        return {"status": "fail", "message": "reserved range", "query": ip}

    def refuse(self) -> Reply:
        """Reply 403, and count what comes within the hour as an offence."""

        async def reply(request: Request, writer: asyncio.StreamWriter) -> None:
            self.close_for(BAN)
            await respond(403)(request, writer)

        return reply

    def limit_passed(self, seconds: int | None) -> Reply:
        """Reply 429 with this X-Ttl, and count what comes before as an offence."""

        async def reply(request: Request, writer: asyncio.StreamWriter) -> None:
            self.close_for(WINDOW if seconds is None else seconds)
            await respond(429, {} if seconds is None else {"X-Ttl": str(seconds)})(request, writer)

        return reply


def respond(status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Reply:
    """Reply with this, whatever was asked."""

    async def reply(request: Request, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()

    return reply


def raw(octets: bytes) -> Reply:
    """Reply with these octets and hang up."""

    async def reply(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(octets)
        await writer.drain()

    return reply


def silence(first: bytes = b"") -> Reply:
    """Reply with these octets and then nothing more, without hanging up."""

    async def reply(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        await asyncio.Event().wait()

    return reply


def when(event: asyncio.Event, then: Reply) -> Reply:
    """Reply once the event is set."""

    async def reply(request: Request, writer: asyncio.StreamWriter) -> None:
        await event.wait()
        await then(request, writer)

    return reply


def endless(head: bytes = b"HTTP/1.1 200 OK\r\n\r\n", piece: bytes = b"[" * 65536, *, pause: float = 0.0) -> Reply:
    """Send without end, until the other side hangs up; a piece every so many seconds."""

    async def reply(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)  # drain alone may never let others run

    return reply


async def _until_hangup(reply: asyncio.Task[None], reader: asyncio.StreamReader) -> None:
    """Let the reply go on until it is done or the other side hangs up."""
    hangup = asyncio.create_task(reader.read())
    try:
        await asyncio.wait([reply, hangup], return_when=asyncio.FIRST_COMPLETED)
    finally:
        hangup.cancel()
        if reply.done():
            reply.result()
        reply.cancel()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body)
