"""An inspection of the server, for ``bangeod check``: who answers, and what the role may do there. Changes nothing."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Collection, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from bangeod.clock import SystemClock
from bangeod.errors import StoreError
from bangeod.store.port import Census
from bangeod.store.postgres import driver, faults, queries
from bangeod.store.postgres.connection import Conninfo
from bangeod.store.postgres.store import PostgresStore

if TYPE_CHECKING:
    from bangeod.store.postgres.driver import Connection

SECONDS: Final = 15.0  # for all of it, connecting aside
COUNT_SECONDS: Final = 2.0  # for each table's rows that are due; of a million it may take longer

PRIVILEGES: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")
# What the jobs need on each table. To lock a row that is to be deleted takes UPDATE.
NEEDED: Final = {"geo_cache": PRIVILEGES, "sessions": ("SELECT", "UPDATE", "DELETE")}


class TableSeen(NamedTuple):
    """A table of one of the two names, in whichever schema."""

    schema: str
    name: str
    is_found: bool  # by its bare name, as the jobs look for it
    may_enter: bool  # whether the role may use its schema
    is_table: bool  # and no view or the like
    rows: int | None  # as the server estimates; None where it has not yet
    hides_rows: bool  # row-level security is in force for this role
    granted: Collection[str]  # of PRIVILEGES

    @property
    def lacking(self) -> list[str]:
        """What the role is not granted of NEEDED."""
        return [privilege for privilege in NEEDED[self.name] if privilege not in self.granted]


class Look(NamedTuple):
    """What was found."""

    version: str
    role: str
    is_superuser: bool
    is_standby: bool
    is_read_only: bool
    is_pooled: bool  # something in between shares the server's connections among its clients
    schema: str | None  # where a table would be made; None where no schema of the search path exists
    may_create: bool  # a table in that schema
    tables: Sequence[TableSeen]

    def found(self, name: str) -> TableSeen | None:
        """Return the table that the jobs find by this name."""
        return next((table for table in self.tables if table.name == name and table.is_found), None)

    def elsewhere(self, name: str) -> list[TableSeen]:
        """Return the tables of this name that the jobs don't find."""
        return [table for table in self.tables if table.name == name and not table.is_found]


class Counted(NamedTuple):
    """What came of working with a table as the jobs do, without a change."""

    name: str
    problem: StoreError | None = None  # why the jobs can't work with it
    due: Census | None = None  # None where counting took too long


def inspect(conninfo: Conninfo, schema: str | None) -> Look:
    """Look at the server. Raises StoreError. Blocks."""

    async def work() -> Look:
        async with connected(conninfo, schema) as connection:
            return await look(connection)

    return asyncio.run(work())


def count(conninfo: Conninfo, schema: str | None, *, now: int, before: int) -> list[Counted]:
    """Count what the cleanups would delete, as they would find it; times in epoch seconds. Blocks."""

    async def work() -> list[Counted]:
        store = PostgresStore(conninfo, SystemClock(), schema=schema)
        try:
            return [
                await _counted("geo_cache", store.count_stale(before, keep=lambda _key: False)),
                await _counted("sessions", store.count_expired(now)),
            ]
        finally:
            await store.close()

    return asyncio.run(work())


async def _counted(name: str, counting: Awaitable[Census]) -> Counted:
    try:
        async with asyncio.timeout(COUNT_SECONDS):
            return Counted(name, due=await counting)
    except StoreError as problem:
        return Counted(name, problem)
    except TimeoutError:
        return Counted(name)


@asynccontextmanager
async def connected(conninfo: Conninfo, schema: str | None) -> "AsyncGenerator[Connection, None]":
    """Connect for one transaction, in which bare names mean what they mean to the jobs. Raises only StoreError.

    One, because behind a pooler the next might be another session's.
    """
    if not driver.available():
        raise faults.no_driver(conninfo)
    try:
        connection = await driver.connect(conninfo.parameters(driver.keywords(conninfo.keywords)))
    except (driver.error(), OSError, UnicodeError) as error:
        raise faults.of_connect(conninfo, error) from None  # its text may have a secret in it
    try:
        async with asyncio.timeout(SECONDS), connection.transaction():
            await connection.execute(queries.INSPECT_FROM.encode(), {"schema": schema})
            yield connection
    except driver.error() as error:
        raise faults.of_statement(conninfo, error, lost=not driver.is_idle(connection)) from error
    except TimeoutError:
        problem = f"the server did not answer within {SECONDS:g} s"
        raise StoreError(conninfo.shown, problem, "look at what keeps it busy") from None
    finally:
        await connection.close()


async def look(connection: "Connection") -> Look:
    """Look through a connection of ``connected``."""
    answer = await connection.execute(queries.INSPECT_SERVER.encode())
    ((version, role, is_superuser, is_standby, is_read_only, process, schema, may_create),) = await answer.fetchall()
    found = await (await connection.execute(queries.INSPECT_TABLES.encode())).fetchall()
    return Look(
        version,
        role,
        is_superuser,
        is_standby,
        is_read_only,
        is_pooled=process != connection.info.backend_pid,  # a pooler tells its clients another number
        schema=schema,
        may_create=may_create,
        tables=[TableSeen._make([*columns, _granted(grants)]) for *columns, grants in found],
    )


def _granted(grants: Sequence[bool]) -> frozenset[str]:
    return frozenset(privilege for privilege, has in zip(PRIVILEGES, grants, strict=True) if has)
