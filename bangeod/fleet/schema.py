"""The fleet's tables, to make them where the user asks for it, and to let hosts use them.

Tables that are there are never altered, and nothing is made beside what is not the fleet's.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from bangeod.errors import SchemaError, StoreError, StoreReadOnlyError
from bangeod.fleet import statements
from bangeod.fleet.inspection import Look, look
from bangeod.store.postgres import faults
from bangeod.store.postgres.connection import Conninfo
from bangeod.store.postgres.inspection import connected

if TYPE_CHECKING:
    from bangeod.store.postgres.driver import Connection

SHOWN: Final = 4  # names of tables that are not the fleet's


class Made(NamedTuple):
    """What was done."""

    tables: Sequence[str]  # those that were missing
    roles: Sequence[str]  # those that may use them from now on


def create(conninfo: Conninfo, roles: Sequence[str] = ()) -> Made:
    """Make the tables that are missing and let the roles use all of them, or do nothing. Raises StoreError. Blocks."""
    return asyncio.run(_create(conninfo, list(dict.fromkeys(roles))))


async def _create(conninfo: Conninfo, roles: Sequence[str]) -> Made:
    async with connected(conninfo, None) as connection:
        seen = await look(connection)
        _refuse(conninfo, seen)
        await connection.execute(statements.ONE_MAKES_TABLES.encode())
        seen = await look(connection)  # another one may have made them meanwhile
        _refuse(conninfo, seen)
        if seen.owner is None:
            await connection.execute(statements.MAKE_SCHEMA.encode())
        for table in seen.absent:
            secured = [statement.format(table=table) for statement in statements.SECURED]
            for statement in (*statements.MADE[table], *secured):
                await connection.execute(statement.encode())
            if table == "claims":
                await connection.execute(statements.EXPIRED_CLAIMS_GO.encode())
        if roles:
            _refuse_to_grant(conninfo, seen)
            await _grant(conninfo, connection, roles)
    return Made(seen.absent, roles)


async def _grant(conninfo: Conninfo, connection: "Connection", roles: Sequence[str]) -> None:
    answer = await connection.execute(statements.ROLES.encode(), {"names": list(roles)})
    quoted: dict[str, str] = dict(await answer.fetchall())
    unknown = [role for role in roles if role not in quoted]
    if unknown:
        name = unknown[0]
        advice = f"make it, in psql: CREATE ROLE {_in_sql(name)} LOGIN; nothing was changed"
        raise SchemaError(conninfo.shown, f"there is no role {name} on the server", advice)
    tables = ", ".join(f"{statements.SCHEMA}.{table}" for table in statements.TABLES)
    for role in roles:
        for statement in statements.GRANTED:
            await connection.execute(statement.format(role=quoted[role], tables=tables).encode())


def _refuse(conninfo: Conninfo, seen: Look) -> None:
    """Raise StoreError where the tables can't be made, or what is there is not the fleet's."""
    if seen.is_standby:
        raise faults.standby(conninfo)
    if seen.owner is not None and seen.foreign and not seen.own:
        problem = f"there is a schema bangeod already, with other tables than a fleet's ({_listed(seen.foreign)})"
        raise SchemaError(conninfo.shown, problem, "name another database, or rename that schema")
    for table in seen.own:
        if not table.is_table or table.missing:
            advice = "nothing was changed: move it away if it is not the fleet's, or name another database"
            raise SchemaError(conninfo.shown, table.unfit, advice)
    if not seen.absent:
        return
    if seen.owner is None and not seen.may_make_schema:
        problem = f"role {seen.role} may make no schema in database {seen.database}"
        advice = f"run this as the database's owner, or: GRANT CREATE ON DATABASE {_in_sql(seen.database)} TO "
        raise _not_permitted(conninfo, problem, advice + _in_sql(seen.role))
    if seen.owner is not None and not (seen.may_enter and seen.may_make_tables):
        problem = f"role {seen.role} may make no tables in schema bangeod, which role {seen.owner} made"
        raise _not_permitted(conninfo, problem, f"run this as role {seen.owner}")


def _refuse_to_grant(conninfo: Conninfo, seen: Look) -> None:
    others = [table for table in seen.own if not table.is_own]
    if others and not seen.is_superuser:
        problem = f"role {seen.role} may not let others use the tables, which role {others[0].owner} made"
        raise _not_permitted(conninfo, problem, f"run this as role {others[0].owner}")


def _not_permitted(conninfo: Conninfo, problem: str, advice: str) -> StoreError:
    return StoreReadOnlyError(conninfo.shown, problem, advice)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if names[SHOWN:] else "")


def _in_sql(name: str) -> str:
    return f'"{name.replace(chr(34), chr(34) * 2)}"'
