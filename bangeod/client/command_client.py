"""The commands' client: a connection for each request, over Python's own sockets alone.

For one request, importing httpx would take most of the time of a whole command, and ``http.client`` a part of it.
"""

import socket
import time
from contextlib import suppress
from typing import Final

from bangeod.client.blocking import BlockingClient
from bangeod.client.protocol import CONNECT, LOOK_AGAIN, Reply

_AT_ONCE: Final = 1 << 16  # bytes read at a time
_LONGEST_HEAD: Final = 1 << 16  # bytes
_HEAD_END: Final = b"\r\n\r\n"
# HTTP/1.0 (RFC 1945) has no chunks, and the daemon closes the connection after its answer.
_REQUEST: Final = "%s %s HTTP/1.0\r\nHost: bangeod\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


class CommandClient(BlockingClient):
    """Asks the daemon at ``socket`` as GeoClient does. For one command: it keeps no connection."""

    def exchange(self, method: str, path: str, body: bytes = b"", *, silence: float | None = None) -> Reply:
        """Send a request and return the answer; once more where the daemon goes away, as at a restart."""
        request = (_REQUEST % (method, path, len(body))).encode() + body
        patience = self.timeout if silence is None else silence
        try:
            try:
                return self._once(request, patience)
            except (ConnectionResetError, BrokenPipeError, _NoHttpError):
                return self._once(request, patience)
        except _NoHttpError as error:
            raise self.translated(error, garbled=True) from error
        except OSError as error:
            raise self.translated(error, late=isinstance(error, TimeoutError)) from error

    def _once(self, request: bytes, silence: float) -> Reply:
        with self._connected() as connection:
            connection.settimeout(silence)
            with suppress(ConnectionResetError, BrokenPipeError):  # it may have refused the body by now
                connection.sendall(request)
            return _answer(connection)

    def _connected(self) -> socket.socket:
        """Connect; if too many clients are connecting, wait for as long as for a connection."""
        given_up = time.monotonic() + min(self.timeout, CONNECT)
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.settimeout(min(self.timeout, CONNECT))
                connection.connect(self.socket)
            except BlockingIOError:  # EAGAIN, connect(2)
                connection.close()
                if time.monotonic() >= given_up:
                    raise
                time.sleep(LOOK_AGAIN)
            except BaseException:
                connection.close()
                raise
            else:
                return connection


class _NoHttpError(Exception):
    """What has come is no answer in HTTP, or not the whole of one."""


def _answer(connection: socket.socket) -> Reply:
    """Receive an answer until it is complete. Raises _NoHttpError, OSError."""
    received = bytearray()
    while (end := received.find(_HEAD_END)) < 0:
        if len(received) > _LONGEST_HEAD or not _more(connection, received):
            raise _NoHttpError("the answer has no end of its header" if received else "it closed without an answer")
    status, length = _understood(bytes(received[:end]))
    del received[: end + len(_HEAD_END)]
    while length is None or len(received) < length:
        if not _more(connection, received):
            if length is not None:
                raise _NoHttpError(f"{len(received)} of {length} bytes of the answer came")
            break
    return Reply(status, bytes(received[:length]))


def _more(connection: socket.socket, received: bytearray) -> bool:
    """Receive some more; False at the end."""
    some = connection.recv(_AT_ONCE)
    received += some
    return bool(some)


def _understood(head: bytes) -> tuple[int, int | None]:
    """Return the status, and the length of the body: None if that ends with the connection. Raises _NoHttpError."""
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    code = rest[:3]
    if not version.startswith("HTTP/1.") or not (len(code) == 3 and code.isascii() and code.isdigit()):  # noqa: PLR2004 - RFC 9112
        raise _NoHttpError("it does not speak HTTP")
    for line in lines:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            length = value.strip()
            if not (length.isascii() and length.isdigit()):
                raise _NoHttpError("the answer has no proper length")
            return int(code), int(length)
    return int(code), None
