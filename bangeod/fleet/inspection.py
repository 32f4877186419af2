"""What is there of the fleet on a server, and what a role may do with it. Changes nothing."""

import asyncio
import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from bangeod.fleet import statements
from bangeod.store.postgres.connection import Conninfo
from bangeod.store.postgres.inspection import connected

if TYPE_CHECKING:
    from bangeod.store.postgres.driver import Connection

PRIVILEGES: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")  # all are needed, on each table

_NAMES_OF_TYPES: Final = {"integer": "int4", "bigint": "int8"}  # as the server's catalogue has them
_OF_TABLE: Final = ("PRIMARY", "CHECK", "UNIQUE", "FOREIGN", "CONSTRAINT")  # begin what is no column


class TableSeen(NamedTuple):
    """A table in the schema, or what else has a name there."""

    name: str
    is_table: bool
    owner: str
    is_own: bool  # the role may do what its owner may
    is_secured: bool  # row-level security keeps roles from rows that others wrote
    secures_owner: bool  # from the owner's too
    rows: int | None  # as the server estimates; None where it has not yet
    granted: Collection[str]  # of PRIVILEGES
    columns: frozenset[str]  # each with its type: ``ip inet``

    @property
    def lacking(self) -> list[str]:
        """What the role is not granted."""
        return [privilege for privilege in PRIVILEGES if privilege not in self.granted]

    @property
    def missing(self) -> list[str]:
        """The columns of the fleet's table that it does not have, or not with that type."""
        return [column for column in columns(self.name) if column not in self.columns]

    @property
    def unfit(self) -> str:
        """Say what keeps it from being the fleet's table, where it is none, or has not its columns."""
        if not self.is_table:
            return f"bangeod.{self.name} is no table"
        return f"table bangeod.{self.name} is not a fleet's: it has no column {', '.join(self.missing)}"


class Look(NamedTuple):
    """What was found."""

    version: str
    role: str
    is_superuser: bool
    bypasses_security: bool  # of rows
    is_standby: bool
    is_read_only: bool
    is_pooled: bool  # something in between shares the server's connections among its clients
    may_make_schema: bool
    database: str
    owner: str | None  # the schema's; None where there is none
    may_enter: bool  # whether the role may use the schema
    may_make_tables: bool  # in the schema
    tables: Sequence[TableSeen]

    @property
    def absent(self) -> list[str]:
        """The fleet's tables that are not there, in the order in which they are made."""
        there = {table.name for table in self.tables}
        return [name for name in statements.TABLES if name not in there]

    @property
    def own(self) -> list[TableSeen]:
        """The fleet's tables that are there, or what has their names."""
        return [table for table in self.tables if table.name in statements.TABLES]

    @property
    def foreign(self) -> list[str]:
        """The names of what else is there."""
        return [table.name for table in self.tables if table.name not in statements.TABLES]


def columns(table: str) -> list[str]:
    """Return the columns that a table of the fleet has where it is made, each with its type."""
    (made,) = (statement for statement in statements.MADE[table] if statement.startswith("CREATE TABLE"))
    inner = re.sub(r"\([^()]*\)", "", made[made.index("(") + 1 : made.rindex(")")])
    words = [part.split() for part in inner.split(",")]
    return [f"{name} {_NAMES_OF_TYPES.get(kind, kind)}" for name, kind, *_ in words if name not in _OF_TABLE]


def inspect(conninfo: Conninfo) -> Look:
    """Look at the server. Raises StoreError. Blocks."""

    async def work() -> Look:
        async with connected(conninfo, None) as connection:
            return await look(connection)

    return asyncio.run(work())


async def look(connection: "Connection") -> Look:
    """Look through a connection of ``connected``."""
    answer = await connection.execute(statements.SERVER.encode())
    (
        (version, role, is_super, bypasses, is_standby, is_read_only, process, may_make, database),
    ) = await answer.fetchall()
    schema = await (await connection.execute(statements.SCHEMA_SEEN.encode())).fetchone()
    owner, may_enter, may_make_tables = schema or (None, False, may_make)
    found = await (await connection.execute(statements.TABLES_SEEN.encode())).fetchall()
    return Look(
        version,
        role,
        is_super,
        bypasses,
        is_standby,
        is_read_only,
        is_pooled=process != connection.info.backend_pid,  # a pooler tells its clients another number
        may_make_schema=may_make,
        database=database,
        owner=owner,
        may_enter=may_enter,
        may_make_tables=may_make_tables,
        tables=[
            TableSeen._make([*seen, _granted(grants), frozenset(columns_there)])
            for *seen, grants, columns_there in found
        ],
    )


def _granted(grants: Sequence[bool]) -> frozenset[str]:
    return frozenset(privilege for privilege, has in zip(PRIVILEGES, grants, strict=True) if has)
