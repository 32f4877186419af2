"""BanGUI's two tables, to make them on a server without BanGUI. Tables that are there are never altered."""

import asyncio

from bangeod.errors import SchemaError, StoreReadOnlyError
from bangeod.store.postgres import queries
from bangeod.store.postgres.connection import Conninfo
from bangeod.store.postgres.inspection import Look, connected, look


def create(conninfo: Conninfo, schema: str | None) -> list[str]:
    """Make the tables that are missing, all or none; return their names. Raises StoreError. Blocks."""
    return asyncio.run(_create(conninfo, schema))


async def _create(conninfo: Conninfo, schema: str | None) -> list[str]:
    async with connected(conninfo, schema) as connection:
        await connection.execute(queries.ONE_MAKES_TABLES.encode())
        seen = await look(connection)
        missing = [name for name in queries.TABLES_MADE if seen.found(name) is None]
        if missing:
            _refuse(conninfo, seen, missing, schema)
        for name in missing:
            await connection.execute(queries.TABLES_MADE[name].encode())
    return missing


def _refuse(conninfo: Conninfo, seen: Look, missing: list[str], schema: str | None) -> None:
    """Raise StoreError where tables can't be made, or would hide those that the web app has."""
    for name in missing:
        for table in seen.elsewhere(name):
            problem = f"there is a table {name} already, in schema {table.schema}"
            advice = f"name that schema (--schema {table.schema}), or another database"
            if not table.may_enter:
                advice = f"GRANT USAGE ON SCHEMA {table.schema} TO {seen.role}, and name it (--schema)"
            raise SchemaError(conninfo.shown, problem, advice)
    if seen.schema is None:
        problem = (
            "the role's search_path has no schema that is there" if schema is None else f"there is no schema {schema}"
        )
        raise SchemaError(conninfo.shown, problem, "make it (CREATE SCHEMA), or name another with --schema")
    if not seen.may_create:
        problem = f"role {seen.role} may not make tables in schema {seen.schema}"
        advice = (
            f"GRANT CREATE ON SCHEMA {seen.schema} TO {seen.role}, or let another role run this, and grant to this one"
        )
        raise StoreReadOnlyError(conninfo.shown, problem, advice)
