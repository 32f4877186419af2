"""The connections of the API and their limits: no client can keep others from being served.

A client has 30 seconds to send a whole request header (also between two requests); the handlers limit the time for a
body and for the work; an answer must be fetched in time. The numbers of connections, of bodies being received, and of
bytes that wait to be fetched are limited too: above a limit the connection that has kept the daemon waiting longest is
closed.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog

from bangeod.api import web
from bangeod.api.daemon_state import ApiState
from bangeod.api.messages import ErrorAnswer, Problem

log = structlog.get_logger(__name__)

MOST_CONNECTIONS: Final = 256
MOST_RECEIVING: Final = 32  # bodies that did not come with their header, at a time
MOST_UNSENT: Final = 16 << 20  # bytes; Python 3.11 holds each of them twice
MOST_READ: Final = 1 << 16  # bytes at a time; with asyncio's own 256 KiB a flood takes twice the memory
HEADER_SECONDS: Final = 30.0
FETCH_SECONDS: Final = 10.0  # for which a client may leave an answer unread

_FULL: Final = msgspec.json.encode(ErrorAnswer(Problem("busy", "too many requests at once: try again")))
_TURN_AWAY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_FULL), _FULL)
)


class Connection(web.RequestHandler):
    """One client. ``busy`` while one of its requests is worked on, which must not be interrupted."""

    __slots__ = ("_all", "_loop_time", "busy", "since", "unread_since")

    def __init__(self, manager: web.Server, connections: "Connections", **options: Any) -> None:
        super().__init__(manager, **options)
        self._all = connections
        self._loop_time = options["loop"].time
        self.busy = False
        self.since: float = self._loop_time()  # when it was opened, or its last request ended
        self.unread_since: float | None = None  # since when part of an answer has been left unread

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._all.add(self)
        _read_in_pieces(transport)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._all.discard(self)
        super().connection_lost(exc)

    def rest(self) -> None:
        """Note that a request is finished."""
        self.busy = False
        self.since = self._loop_time()

    def check_connected(self) -> None:
        """Raise ConnectionError if the connection has been lost since the request came.

        aiohttp reports the loss to the body of a request that has begun; reading another body would fail like a bug of
        ours.
        """
        if not self.connected:
            raise ConnectionError("the client has gone")

    def unsent(self) -> int:
        return self.transport.get_write_buffer_size() if self.transport is not None else 0

    def abort(self) -> None:
        """Close the connection at once, without waiting for what is still to be received or fetched."""
        if self.transport is not None:
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer data that is not HTTP, in the same form as all errors."""
        if isinstance(exc, ConnectionError) or request.writer.output_size > 0:
            raise ConnectionError("the client has gone, or has a part of the answer already") from exc
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("request_failed", exc_info=exc)
        self._all.figures.requests += 1
        self._all.figures.errors += 1
        said = " ".join((message or "this can't be understood as HTTP").split())
        body = msgspec.json.encode(ErrorAnswer(Problem("bad_request", said[:300])))
        response = web.Response(status=status, body=body, headers={"Content-Type": "application/json"})
        response.force_close()
        return response


def _read_in_pieces(transport: asyncio.BaseTransport) -> None:
    """Have the transport read at most ``MOST_READ`` bytes at a time.

    asyncio has no public way to set this: ``max_size`` is an attribute of the transports that its selector event loop
    makes for sockets (``_SelectorTransport``), in CPython 3.11 to 3.14.
    """
    transport.max_size = MOST_READ  # type: ignore[attr-defined] # see above


class _TurnedAway(asyncio.Protocol):
    """A connection for which there is no room: it gets an error and is closed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            transport.write(_TURN_AWAY)
        transport.close()


class Connections:
    """All open connections, with their limits. Used on the event loop only."""

    def __init__(self, figures: ApiState, now: Callable[[], float], *, limit: int = MOST_CONNECTIONS) -> None:
        self.figures = figures
        self._now = now
        self._limit = limit
        self._open: dict[Connection, None] = {}
        self._receiving: dict[Connection, None] = {}  # in the order in which they began
        self.some = asyncio.Event()  # set while a connection is open: without any, nobody has to wake up

    def factory(self, manager: web.Server, **options: Any) -> Callable[[], asyncio.Protocol]:
        def make() -> asyncio.Protocol:
            if len(self._open) >= self._limit and self._longest_idle() is None:
                self.figures.turned_away += 1
                return _TurnedAway()
            return Connection(manager, self, **options)

        return make

    def add(self, connection: Connection) -> None:
        """Count a new connection and make room for it: many may have been accepted before the first is counted."""
        while len(self._open) >= self._limit and (idle := self._longest_idle()) is not None:
            self._close(idle)
        self._open[connection] = None
        self.some.set()
        self.figures.connections = len(self._open)

    def discard(self, connection: Connection) -> None:
        self._open.pop(connection, None)
        self._receiving.pop(connection, None)
        if not self._open:
            self.some.clear()
        self.figures.connections = len(self._open)

    def receive(self, connection: Connection) -> None:
        """Note that the body of a request is still to come; meanwhile the connection may be closed to make room."""
        if len(self._receiving) >= MOST_RECEIVING:
            self._close(next(iter(self._receiving)))
        self._receiving[connection] = None
        connection.since = self._now()
        connection.busy = False

    def received(self, connection: Connection) -> None:
        """Note that the body has come."""
        self._receiving.pop(connection, None)
        connection.busy = True

    def relieve(self) -> None:
        """Close connections that don't fetch their answers, while too much waits; called before a large answer."""
        waiting = sorted((c for c in self._open if c.unsent()), key=lambda connection: connection.since)
        unsent = sum(connection.unsent() for connection in waiting)
        for connection in waiting:
            if unsent <= MOST_UNSENT:
                return
            unsent -= connection.unsent()
            self._close(connection)

    def look_after(self) -> None:
        """Close connections that have not fetched their answers in time; called every second or so."""
        now = self._now()
        for connection in list(self._open):
            if not connection.writing_paused:
                connection.unread_since = None
            elif connection.unread_since is None:
                connection.unread_since = now
            elif now - connection.unread_since >= FETCH_SECONDS:
                self._close(connection)

    def _longest_idle(self) -> Connection | None:
        """Return the idle connection that the daemon has waited for longest; None if all are busy."""
        idle = (connection for connection in self._open if not connection.busy)
        return min(idle, key=lambda connection: connection.since, default=None)

    def _close(self, connection: Connection) -> None:
        connection.abort()
        self.discard(connection)
        self.figures.turned_away += 1
