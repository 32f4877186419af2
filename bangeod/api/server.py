"""The HTTP server of the API: it serves the routes on the socket while it is open."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bangeod.api import web
from bangeod.api.backend import Backend
from bangeod.api.connections import HEADER_SECONDS, Connections
from bangeod.api.daemon_state import ApiState
from bangeod.api.dispatch import Dispatcher
from bangeod.api.handlers import Handlers
from bangeod.api.unix_socket import AT_ONCE, BACKLOG, BoundSocket, bind

LOOK_AFTER_EVERY: Final = 1.0  # seconds
LINGER: Final = 2.0  # seconds for which the rest of a refused body is read, so that the client sees the answer

_OPTIONS: Final[Mapping[str, Any]] = {
    "access_log": None,
    "keepalive_timeout": HEADER_SECONDS,
    "lingering_time": LINGER,
    "auto_decompress": False,  # a decompressed body could be larger than any limit
}


class ApiServer:
    """Serves a backend. ``grace`` is how many seconds running requests get at the end. Used on the event loop only."""

    def __init__(self, backend: Backend, *, grace: float) -> None:
        self.figures = ApiState()
        self._grace = grace
        self._backend = backend
        self._bound: BoundSocket | None = None
        self._handlers: Handlers | None = None
        self._manager: web.Server | None = None
        self._listener: asyncio.Server | None = None
        self._caretaker: asyncio.Task[None] | None = None

    async def open(self, path: Path, mode: int) -> None:
        """Listen at a path. Raises SocketError; nothing is open then."""
        try:
            await self._open(path, mode)
        except BaseException:
            await self.close()
            raise

    async def _open(self, path: Path, mode: int) -> None:
        self._bound = bind(path, mode)
        loop = asyncio.get_running_loop()
        connections = Connections(self.figures, loop.time)
        self._handlers = Handlers(self._backend, self.figures, connections)
        self._manager = web.Server(Dispatcher(self._handlers.by_route, self.figures))
        factory = connections.factory(self._manager, loop=loop, **_OPTIONS)
        # asyncio takes one number for the backlog and for how many connections it accepts at once.
        self._listener = await loop.create_server(factory, sock=self._bound.socket, backlog=AT_ONCE)
        self._bound.socket.listen(BACKLOG)
        self._caretaker = loop.create_task(_look_after(connections), name="api")

    def stop_listening(self) -> None:
        """Take no more connections, and remove the socket's file."""
        bound, self._bound = self._bound, None
        if bound is not None:
            bound.remove()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        elif bound is not None:
            bound.socket.close()

    async def close(self) -> None:
        """Take no more requests, give running ones up to ``grace`` seconds, and close all connections."""
        self.stop_listening()
        if self._caretaker is not None:
            self._caretaker.cancel()
        if self._manager is not None:
            await asyncio.sleep(0)  # requests that have come are started before idle connections are closed
            self._manager.pre_shutdown()
            await self._manager.shutdown(self._grace)
        if self._handlers is not None:
            await self._handlers.close()
        self._caretaker = self._manager = self._handlers = None

    @property
    def is_open(self) -> bool:
        return self._listener is not None


async def _look_after(connections: Connections) -> None:
    while True:
        await connections.some.wait()
        await asyncio.sleep(LOOK_AFTER_EVERY)
        connections.look_after()
