"""What the servers have in common that tests put in the place of others: a port on loopback, HTTP, replies, an end."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import parse_qs, urlsplit


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


class LoopbackServer:
    """Listens on a free port of 127.0.0.1 while it is entered."""

    def __init__(self) -> None:
        self.connections = 0  # ever made
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        assert self._server
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self.connections += 1
        self._tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self.serve(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


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


async def until_hangup(reply: asyncio.Task[None], reader: asyncio.StreamReader) -> None:
    """Let the reply go on until it is done or the other side hangs up."""
    hangup = asyncio.create_task(reader.read())
    try:
        await asyncio.wait([reply, hangup], return_when=asyncio.FIRST_COMPLETED)
    finally:
        hangup.cancel()
        if reply.done():
            reply.result()
        reply.cancel()


async def read_request(reader: asyncio.StreamReader) -> Request:
    """Read one request, whole."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body)
