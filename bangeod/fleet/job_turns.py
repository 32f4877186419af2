"""Whose turn a job is, by the server: an advisory lock that ends with its connection, and the times of the successes.

The successes are in the table ``bangeod.state`` of the database, where there is one that the role may use; else each
daemon knows its own alone.
"""

import contextlib
import zlib
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Final

from bangeod.errors import StoreError
from bangeod.fleet import statements
from bangeod.store.postgres import queries
from bangeod.store.postgres.connection import Conninfo
from bangeod.store.postgres.session import Session
from bangeod.trouble import Trouble

if TYPE_CHECKING:
    from bangeod.clock import Clock

LOCK_TIMEOUT: Final = 5.0  # seconds; nobody's locks are waited for but those of bangeod.state


class ServerTurns:
    """The turns of the jobs on the tables that a role finds in one database; ``host`` is who notes a success.

    Each turn has a connection of its own: when that ends, by a kill, say, the server gives the turn to the next.
    """

    def __init__(self, conninfo: Conninfo, clock: "Clock", *, schema: str | None, host: str) -> None:
        self._conninfo = conninfo
        self._clock = clock
        self._schema = schema
        self._host = host
        self._pooled = Trouble("job_locks_impossible", repeats=False)

    @contextlib.asynccontextmanager
    async def take(self, job_id: str) -> AsyncGenerator["ServerTurn | None", None]:
        """Take a job's turn until the block ends; None while another daemon has it. Raises StoreError."""
        session = Session(self._conninfo, self._clock, schema=self._schema, lock_timeout=LOCK_TIMEOUT)
        try:
            await session.run(queries.NOTHING)
            if session.is_pooled:  # a lock would stay with a session that is the next client's
                self._tell_of_pooler()
            else:
                self._pooled.forget()
                ((is_taken,),) = await session.run(statements.TAKE_JOB, {"job": _number(job_id)})
                if is_taken is False:  # NULL where the web app's tables are missing, which the job will find as well
                    yield None
                    return
            yield await self._turn(session, job_id)
        finally:
            await _let_go(session)

    async def _turn(self, session: Session, job_id: str) -> "ServerTurn":
        state = await session.run(statements.MAY_USE_STATE)
        served = await session.run(statements.SERVED_SCHEMA)
        may_read, may_write = state[0] if state and served else (False, False)
        name = f"job {job_id} in {served[0][0]}" if served else ""
        return ServerTurn(session, {"host": self._host, "name": name}, may_read=may_read, may_write=may_write)

    def _tell_of_pooler(self) -> None:
        self._pooled.tell(
            problem="a pooler (PgBouncer or the like) is in between, behind which no lock can be held for a job",
            advice="let the url lead to the server itself; until then several daemons may run a job at a time, which "
            "does no harm",
        )


class ServerTurn:
    """One job's turn."""

    def __init__(self, session: Session, row: Mapping[str, object], *, may_read: bool, may_write: bool) -> None:
        self._session = session
        self._values = row
        self._may_read = may_read
        self._may_write = may_write

    async def since_success(self) -> float | None:
        """Return how many seconds ago the last run was begun that succeeded, by the server's clock."""
        if self._may_read:
            with contextlib.suppress(StoreError):  # to run the job once more does no harm
                ((seconds,),) = await self._session.run(statements.SINCE_SUCCESS, self._values, again=True)
                return None if seconds is None else float(seconds)
        return None

    async def succeeded(self, ago: float) -> None:
        """Note that a run succeeded that was begun so many seconds ago."""
        if self._may_write:
            with contextlib.suppress(StoreError):  # as above
                await self._session.run(statements.NOTE_SUCCESS, {**self._values, "ago": ago}, again=True)

    async def let_go(self) -> None:
        """Give the turn up; the next one may have it as soon as this returns."""
        await _let_go(self._session)


async def _let_go(session: Session) -> None:
    if session.backend is not None:  # the server itself frees a lock some time after the connection was closed
        with contextlib.suppress(StoreError):  # lost, and the lock with it
            await session.run(statements.LET_JOBS_GO)
    await session.close()


def _number(job_id: str) -> int:
    """Return the number of a job, as the server's locks have them: 32 bits with a sign."""
    return zlib.crc32(f"bangeod {job_id}".encode()) - (1 << 31)
