"""Connecting to the socket with asyncio: if too many others are connecting, it tries again after a pause.

httpx's own way, which is anyio's, tries again at once: a socket that could not be connected counts as writable, so it
keeps a whole processor busy for as long as the daemon does not accept.
"""

import asyncio
import socket
import ssl
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any, Final

import httpcore
import httpx

from bangeod.client.protocol import LOOK_AGAIN

NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used: httpx's own takes 20 ms to read the authorities
_MOST: Final = 100  # connections, idle ones, and the seconds for which they are kept: httpx's own limits
_KEPT: Final = 20
_KEPT_SECONDS: Final = 5.0


class PatientTransport(httpx.AsyncHTTPTransport):
    """httpx's transport over a Unix socket, with connections that are made here."""

    def __init__(self, path: str) -> None:
        super().__init__(uds=path, verify=NO_TLS)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=NO_TLS,
            max_connections=_MOST,
            max_keepalive_connections=_KEPT,
            keepalive_expiry=_KEPT_SECONDS,
            uds=path,
            network_backend=_Backend(),
        )


class _Backend(httpcore.AsyncNetworkBackend):
    """Makes the connections of httpcore's pool."""

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 - there are none
    ) -> httpcore.AsyncNetworkStream:
        with _told(httpcore.ConnectTimeout, httpcore.ConnectError):
            async with asyncio.timeout(timeout):
                return await _connected(path)


async def _connected(path: str) -> httpcore.AsyncNetworkStream:
    end = socket.socket(socket.AF_UNIX)
    try:
        end.setblocking(False)
        while not _connect(end, path):  # noqa: ASYNC110 - the kernel does not tell when there is room
            await asyncio.sleep(LOOK_AGAIN)
        return _Stream(*await asyncio.open_unix_connection(sock=end))
    except BaseException:
        end.close()
        raise


def _connect(end: socket.socket, path: str) -> bool:
    """Connect; return whether there was room (EAGAIN, connect(2))."""
    try:
        end.connect(path)
    except BlockingIOError:
        return False
    return True


class _Stream(httpcore.AsyncNetworkStream):
    """A connection, as httpcore uses it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's
        """Return what has come; empty at the end."""
        with _told(httpcore.ReadTimeout, httpcore.ReadError):
            async with asyncio.timeout(timeout):
                return await self._reader.read(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's
        with _told(httpcore.WriteTimeout, httpcore.WriteError):
            async with asyncio.timeout(timeout):
                self._writer.write(buffer)
                await self._writer.drain()

    async def aclose(self) -> None:
        """Close at once: a daemon that hangs need not read the rest."""
        self._writer.transport.abort()
        await asyncio.sleep(0)

    def get_extra_info(self, info: str) -> Any:
        """Return whether the other side has closed an idle connection; nothing else is known."""
        if info == "is_readable":
            return self._reader.at_eof() or self._reader.exception() is not None
        return None


@contextmanager
def _told(late: type[Exception], failed: type[Exception]) -> Generator[None, None, None]:
    """Raise errors as httpcore's exceptions."""
    try:
        yield
    except TimeoutError as error:
        raise late(str(error)) from error
    except OSError as error:
        raise failed(str(error)) from error
