"""Clients of the API that mean no good, or know no better. Sockets are plain ones: no library would send this."""

import asyncio
import json
import select
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.faults.siege import CACHED
from tests.support.daemon.api_host import BODY_END, Reply, parse
from tests.support.feed import DEADLINE, eventually

CHUNK: Final = 1 << 16  # bytes
PATIENCE: Final = 0.15  # seconds without an answer, or another one, after which a client hangs up
ANSWER: Final = b"HTTP/1.1 "  # begins each
DRIP: Final = 0.1  # seconds between two pieces of what trickles in

BATCH_OF_ALL: Final = json.dumps({"ips": [CACHED] * 10_000}).encode()
BATCH: Final = b"POST /v1/lookup HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (
    len(BATCH_OF_ALL),
    BATCH_OF_ALL,
)
GET: Final = b"GET /v1/lookup/%s HTTP/1.1\r\nHost: x\r\n\r\n" % CACHED.encode()


def connect(path: Path) -> socket.socket:
    """Open a connection, wait for that where too many want to; neither that nor anything on it waits for ever."""
    client = socket.socket(socket.AF_UNIX)
    # A Python timeout would make a full backlog an error at once (unix(7), EAGAIN) instead of waiting for its end.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(DEADLINE), 0))
    try:
        client.connect(str(path))
    except BaseException:
        client.close()
        raise
    client.settimeout(DEADLINE)
    return client


def is_hung_up(client: socket.socket) -> bool:
    """Say whether the other end has closed, whatever of an answer is still unread."""
    poll = select.poll()
    poll.register(client, 0)
    return any(events & select.POLLHUP for _, events in poll.poll(0))


def wait_until_hung_up(clients: list[socket.socket]) -> None:
    """Wait until the other end has closed all of them; close them here too."""
    eventually(lambda: all(map(is_hung_up, clients)), "the daemon hangs up", timeout=2 * DEADLINE)
    for client in clients:
        client.close()


def received(client: socket.socket) -> bytes:
    """Return what comes until the other end closes, in good order or not."""
    parts = []
    with suppress(ConnectionError):
        while part := client.recv(CHUNK):
            parts.append(part)
    return b"".join(parts)


def converse(path: Path, sent: bytes, *, awaited: int = 0) -> list[Reply]:
    """Send bytes as they are, hang up where no answer seems to come any more, and return all answers.

    So many answers as are ``awaited`` may take their time, unless the other end closes before.
    """
    octets = b""
    with connect(path) as client:
        with suppress(ConnectionError):  # the other end may have had enough
            client.sendall(sent)
        with suppress(ConnectionError):
            while _comes(client, DEADLINE if octets.count(ANSWER) < awaited else PATIENCE):
                part = client.recv(CHUNK)
                if not part:
                    return answers(octets)
                octets += part
        with suppress(OSError):
            client.shutdown(socket.SHUT_WR)
        return answers(octets + received(client))


def _comes(client: socket.socket, seconds: float) -> bool:
    return bool(select.select([client], [], [], seconds)[0])


def answers(octets: bytes) -> list[Reply]:
    """Take apart what came over one connection; the errors among it have the form of all errors."""
    found = []
    while octets:
        head, end, rest = octets.partition(BODY_END)
        assert end, f"no whole answer: {octets[:200]!r}"
        length = int(parse(head).headers.get("content-length", 0))
        assert len(rest) >= length, f"half an answer: {octets[:200]!r}"
        reply = parse(head + end + rest[:length])
        assert reply.status < 400 or reply.code
        found.append(reply)
        octets = rest[length:]
    return found


def send(client: socket.socket, piece: bytes, size: int) -> None:
    """Send a piece again and again, up to so many bytes, or until the other end hangs up; then nothing more."""
    with suppress(OSError):
        for _ in range(size // len(piece)):
            client.sendall(piece)
        client.shutdown(socket.SHUT_WR)


async def drip(path: Path, head: bytes, piece: bytes) -> bytes:
    """Begin a request, and let the rest of it trickle in for as long as the other end bears it; return the answer."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(head)
    answer = asyncio.create_task(_come(reader))
    try:
        while not answer.done():
            writer.write(piece)
            await asyncio.wait({answer}, timeout=DRIP)
    finally:
        writer.transport.abort()
    return answer.result()


async def _come(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the other end hangs up; also where it has not read all that was sent by then."""
    octets = bytearray()
    with suppress(ConnectionError):
        while piece := await reader.read(1 << 16):
            octets += piece
    return bytes(octets)
