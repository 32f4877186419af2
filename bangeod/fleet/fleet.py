"""The fleet as this host takes part in it: its name there, its connections, and whether the server answers.

Nothing here is needed for a lookup or a job: while the server is away, all goes on as on a host that is in no fleet.
"""

import asyncio
import socket
from collections.abc import Collection
from typing import Any, Final

from bangeod.clock import Clock
from bangeod.errors import StoreError, StoreUnreachableError
from bangeod.store.postgres.connection import Conninfo
from bangeod.store.postgres.session import Rows, Session, Values
from bangeod.trouble import Trouble

ENDS: Final = 1.0  # seconds that a task which is cancelled has to end in
LOCK_TIMEOUT: Final = 2.0  # seconds; rows are this host's own, so only its own transactions may have them locked


class Fleet:
    """This host's part in a fleet. Makes no connection before it is used; belongs to one event loop.

    ``host`` is what the others call this host; empty: the machine's hostname. ``timeout`` is for how long a lookup
    waits, in seconds. That the server is away, or refuses something, is logged once, as ``fleet_lost``, and its end as
    ``fleet_back``.
    """

    def __init__(self, conninfo: Conninfo, clock: Clock, *, host: str = "", timeout: float = 0.1) -> None:
        self.conninfo = conninfo
        self.host = host or socket.gethostname() or "unnamed"
        self.timeout = timeout
        self.clock = clock
        self.reader = Session(conninfo, clock, schema=None, lock_timeout=LOCK_TIMEOUT)
        self.writer = Session(conninfo, clock, schema=None, lock_timeout=LOCK_TIMEOUT)
        self.has_answered = False  # since the start
        self.away_since: float | None = None  # seconds since the epoch; None while nothing is wrong
        self._problems: dict[Session, str] = {}  # of the last statement on each connection
        self._trouble = Trouble("fleet_lost", "fleet_back")

    @property
    def problem(self) -> str | None:
        """What is wrong with the server, or with what this host may do there; None while nothing is."""
        return next(iter(self._problems.values()), None)

    @property
    def is_connected(self) -> bool:
        """Whether it has answered, and nothing is known to be wrong."""
        return self.has_answered and not self._problems

    def limit(self, *, timeout: float) -> None:
        """Change for how long a lookup waits, in seconds."""
        self.timeout = timeout

    async def read(self, statement: str, values: Values | None = None) -> Rows:
        """Run a statement that changes nothing, once more where the connection was lost. Raises StoreError."""
        return await self._run(self.reader, statement, values, again=True)

    async def write(self, statement: str, values: Values | None = None) -> Rows:
        """Run a statement that writes, a transaction of its own. Raises StoreError."""
        return await self._run(self.writer, statement, values, again=False)

    async def _run(self, session: Session, statement: str, values: Values | None, *, again: bool) -> Rows:
        try:
            rows = await session.run(statement, values, again=again)
        except StoreError as error:
            self._failed(session, error)
            raise
        self._answered(session)
        return rows

    async def retry(self) -> None:
        """Let the next statement connect at once where the last one could not: the server is known to be there."""
        for session in list(self._problems):
            await session.close()

    def hangs(self, seconds: float) -> None:
        """Note that the server has kept a question waiting for so long."""
        problem = f"the server has not answered for {seconds:g} s"
        self._failed(self.reader, StoreUnreachableError(self.conninfo.shown, problem, "look at what keeps it busy"))

    def _failed(self, session: Session, error: StoreError) -> None:
        if self.away_since is None:
            self.away_since = self.clock.now()
        self._problems[session] = error.problem
        self._trouble.tell(error.problem, **error.log_fields())

    def _answered(self, session: Session) -> None:
        self.has_answered = True
        self._problems.pop(session, None)
        if self.away_since is not None and not self._problems:
            self._trouble.is_over(seconds=max(0, round(self.clock.now() - self.away_since)))
            self.away_since = None

    async def close(self) -> None:
        """End the connections."""
        await self.reader.close()
        await self.writer.close()


async def give_up(tasks: Collection[asyncio.Task[Any]]) -> None:
    """End tasks that use a connection: a statement is cancelled on the server, and left if that takes too long."""
    for _ in range(2):  # psycopg waits for the server when it is cancelled first, and closes the connection then
        left = [task for task in tasks if not task.done()]
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=ENDS)
