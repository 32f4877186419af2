"""One connection to the server: made when it is first needed, and anew when it was lost; statements one at a time.

Behind a pooler, as PgBouncer, a session's settings would be those of others, and gone with the next transaction: there,
each statement brings its settings with it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bangeod.errors import StoreError, StoreReadOnlyError, StoreUnreachableError
from bangeod.store.postgres import driver, faults, queries
from bangeod.store.postgres.arrays import array
from bangeod.store.postgres.connection import Backoff, Conninfo

if TYPE_CHECKING:
    from bangeod.clock import Clock
    from bangeod.store.postgres.driver import Connection

STATEMENT_TIMEOUT: Final = 30.0  # seconds; each statement does the work of a page or a slice
IDLE_IN_TRANSACTION: Final = 10.0  # seconds; bangeod itself never is

Values = Mapping[str, object]
Rows = Sequence[tuple[Any, ...]]


class Identity(NamedTuple):
    """Which database it is: a copy of it, restored to an earlier time, say, has another one."""

    system: str | None  # the cluster's, which a standby shares; None where the server does not tell
    timeline: str | None  # another one after a failover, and after a recovery to an earlier time
    database: int  # its oid


class Session:
    """One connection for one purpose. Belongs to one event loop.

    ``lock_timeout`` is in seconds: how long a statement waits for a lock. Raises only StoreError. A cancellation ends
    the statement that is running, on the server as well.
    """

    def __init__(self, conninfo: Conninfo, clock: "Clock", *, schema: str | None, lock_timeout: float) -> None:
        self.conninfo = conninfo
        self.lock_timeout = lock_timeout
        self._clock = clock
        self._schema = schema
        self._connection: Connection | None = None
        self.has_any_bytes = False  # text need not be UTF-8: the database is of SQL_ASCII
        self._identity: Identity | None = None
        self._is_pooled = False  # a pooler in between gives each transaction whichever session it has
        self._backoff = Backoff()
        self._failure: StoreError | None = None  # of the last try to connect
        self._turn = asyncio.Lock()

    @property
    def is_pooled(self) -> bool:
        """Whether a pooler was in between when it last connected: what belongs to a session does not last there."""
        return self._is_pooled

    @property
    def backend(self) -> int | None:
        """The process id of the server's end of the connection, as others are told it; None where there is none."""
        connection = self._connection
        if connection is None or connection.closed or self._is_pooled:
            return None
        return connection.info.backend_pid

    async def identity(self) -> Identity:
        """Return which database answers; connects where there is no connection, and sees whether there still is one."""
        await self.run(queries.NOTHING, again=True)
        if self._identity is None:  # closed by another task in between
            raise faults.another(self.conninfo)
        return self._identity

    async def close(self) -> None:
        """End the connection, whatever state it is in; the next statement makes another one."""
        async with self._turn:
            await self._drop()
            self._backoff, self._failure = Backoff(), None

    async def run(self, statement: str, values: Values | None = None, *, again: bool = False) -> Rows:
        """Run one statement, a transaction of its own; return its rows.

        With ``again`` it runs once more if the connection turns out to be lost, as it is after the server's restart: of
        a statement that writes, nobody would know whether it was carried out.
        """
        async with self._turn:
            known = self._connection
            connection = await self._connected()
            try:
                return await self._run(connection, statement, values)
            except StoreUnreachableError:
                if not again or connection is not known:
                    raise
            return await self._run(await self._connected(), statement, values)

    async def notices(self, within: float) -> Sequence[driver.Notice]:
        """Return the notices that have come, else those that come within so many seconds; makes no connection.

        What was listened to ends with a connection; so does this, by StoreUnreachableError. Closing waits for it.
        """
        async with self._turn:
            connection = self._connection
            if connection is None:
                raise faults.not_connected(self.conninfo)
            try:
                return await driver.notices(connection, within)
            except (driver.error(), OSError) as error:
                await self._drop()
                raise faults.lost(self.conninfo, error) from error

    async def run_behind(self, lock: str, statement: str, values: Values | None = None) -> Rows:
        """Run a statement that takes a lock, and another one behind it, in one transaction; return the second's rows.

        A statement sees what was committed before it began: one that waits for the lock itself would not see what those
        wrote whom it waited for. Both have the same values.
        """
        async with self._turn:
            connection = await self._connected()
            return await self._run(connection, statement, values, lock)

    async def _run(
        self, connection: "Connection", statement: str, values: Values | None, lock: str | None = None
    ) -> Rows:
        before = [(queries.SET_UP, self._settings)] if self._is_pooled else []
        if lock is not None:
            before.append((lock, _written(values)))
        try:
            if self._is_pooled:
                return await _execute_in_turn(connection, before, statement, values)
            if before:
                return await _execute_together(connection, before, statement, values)
            return await _execute(connection, statement, values)
        except driver.error() as error:
            is_lost = not driver.is_idle(connection)
            problem = faults.of_statement(self.conninfo, error, lost=is_lost)
            # A standby that was the primary: the next connection may find the one that is now.
            if is_lost or isinstance(problem, StoreReadOnlyError):
                await self._drop()
            raise problem from error
        finally:
            if self._connection is connection and not driver.is_idle(connection):  # cancelled, and not to be ended
                await self._drop()

    async def _connected(self) -> "Connection":
        """Return the connection; makes one where there is none, unless the last try failed just now."""
        if self._connection is not None and not self._connection.closed:
            return self._connection
        if not driver.available():
            raise faults.no_driver(self.conninfo)
        if self._failure is not None and not self._backoff.may_try(self._clock.monotonic()):
            raise type(self._failure)(self._failure.path, self._failure.problem, self._failure.advice)
        await self._drop()
        try:
            self._connection = await self._connect()
        except StoreError as failure:
            self._backoff.failed(self._clock.monotonic())
            self._failure = failure
            raise
        self._backoff.succeeded()
        self._failure = None
        return self._connection

    async def _connect(self) -> "Connection":
        try:
            given = driver.keywords(self.conninfo.keywords)
            connection = await driver.connect(self.conninfo.parameters(given))
        except (driver.error(), OSError, UnicodeError) as error:
            raise faults.of_connect(self.conninfo, error) from None  # its text may have a secret in it
        try:
            self._identity = await self._greet(connection)
        except driver.error() as error:
            await connection.close()
            raise faults.of_statement(self.conninfo, error, lost=True) from error
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _greet(self, connection: "Connection") -> Identity:
        """Find out which database it is and whether it is behind a pooler, and set the session up."""
        ((database, in_recovery, backend),) = await _execute(connection, queries.DATABASE)
        if in_recovery:
            raise faults.standby(self.conninfo)
        self.has_any_bytes = connection.info.parameter_status("server_encoding") == "SQL_ASCII"
        if self.has_any_bytes:  # else the server itself refuses to send what is no UTF-8
            await _execute(connection, queries.ANY_BYTES)
            driver.read_leniently(connection)
        self._is_pooled = backend != connection.info.backend_pid
        if not self._is_pooled:
            await _execute(connection, queries.SET_UP, self._settings)
        told: list[str | None] = []
        for statement in (queries.SYSTEM, queries.TIMELINE):
            try:
                told.append(str((await _execute(connection, statement))[0][0]))
            except driver.error():
                if not driver.is_idle(connection):
                    raise
                told.append(None)  # some hosted servers do not tell
        return Identity(told[0], told[1], database)

    @property
    def _settings(self) -> Values:
        return {
            "schema": self._schema,
            "local": self._is_pooled,
            "lock_timeout": f"{max(1, round(self.lock_timeout * 1000))}ms",
            "statement_timeout": f"{round(STATEMENT_TIMEOUT * 1000)}ms",
            "idle_timeout": f"{round(IDLE_IN_TRANSACTION * 1000)}ms",
        }

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


async def _execute(connection: "Connection", statement: str, values: Values | None = None) -> Rows:
    async with connection.cursor() as cursor:
        await cursor.execute(statement.encode(), _written(values))
        return await cursor.fetchall() if cursor.description is not None else ()


def _written(values: Values | None) -> Values:
    """Return parameters as they go to the server: a list as an array of texts."""
    if not values:
        return {}
    return {name: array(value) if isinstance(value, list) else value for name, value in values.items()}


async def _execute_together(
    connection: "Connection", before: Sequence[tuple[str, Values]], statement: str, values: Values | None
) -> Rows:
    """Run a statement behind others, in one transaction and one round trip; return its rows."""
    try:
        async with connection.pipeline() as pipeline, connection.cursor() as cursor:
            await _begin(connection, before)
            await cursor.execute(statement.encode(), _written(values))
            await connection.execute(queries.COMMIT.encode())
            await pipeline.sync()
            return await cursor.fetchall() if cursor.description is not None else ()
    except driver.error():
        await _roll_back(connection)
        raise


async def _execute_in_turn(
    connection: "Connection", before: Sequence[tuple[str, Values]], statement: str, values: Values | None
) -> Rows:
    """Do the same in a round trip each: of two clients in such haste PgBouncer 1.18 forgets one now and then."""
    try:
        await _begin(connection, before)
        rows = await _execute(connection, statement, values)
        await connection.execute(queries.COMMIT.encode())
    except driver.error():
        await _roll_back(connection)
        raise
    return rows


async def _begin(connection: "Connection", before: Sequence[tuple[str, Values]]) -> None:
    await connection.execute(queries.BEGIN.encode())
    for first, its_values in before:
        await connection.execute(first.encode(), its_values)


async def _roll_back(connection: "Connection") -> None:
    if not connection.closed:
        await connection.execute(queries.ROLLBACK.encode())
