"""Asking a server over its Unix socket as fast as it answers, with as little work here as can be."""

import selectors
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

END = b"\r\n\r\n"
LENGTH = b"content-length: "


class Connection:
    """One connection; a request at a time."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    @staticmethod
    def get(ip: str) -> bytes:
        """Return the request for an address."""
        return b"GET /v1/lookup/%s HTTP/1.1\r\nHost: x\r\n\r\n" % ip.encode()


def exchange(connection: Connection, request: bytes) -> bytes:
    """Send a request; return the body of the answer."""
    connection.socket.sendall(request)
    return receive(connection)


def receive(connection: Connection) -> bytes:
    """Return the body of the next answer."""
    answer = _more(connection)
    while END not in answer:
        answer += _more(connection)
    head, _, body = answer.partition(END)
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(head.decode())
    length = int(head.lower().partition(LENGTH)[2].partition(b"\r\n")[0])
    parts, come = [body], len(body)
    while come < length:
        parts.append(_more(connection))
        come += len(parts[-1])
    return b"".join(parts)


def _more(connection: Connection) -> bytes:
    """Return what comes next; a ConnectionError where nothing will."""
    content = connection.socket.recv(1 << 20)
    if not content:
        raise ConnectionError("the server hung up before it had answered")
    return content


def rate(path: Path, ips: Sequence[str], connections: int) -> float:
    """Ask about each address, over so many connections; return the requests a second."""
    requests = [Connection.get(ip) for ip in ips]
    waiting = iter(requests)
    with selectors.DefaultSelector() as selector:
        open_ones = [Connection(path) for _ in range(connections)]
        for connection in open_ones:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        began = time.perf_counter()
        for connection, request in zip(open_ones, waiting, strict=False):
            connection.socket.sendall(request)
        left = len(requests)
        while left:
            for key, _ in selector.select():
                receive(key.data)
                left -= 1
                request = next(waiting, b"")
                if request:
                    key.data.socket.sendall(request)
        spent = time.perf_counter() - began
        for connection in open_ones:
            connection.socket.close()
    return len(requests) / spent
