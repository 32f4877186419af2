"""The fleet's tables, to make them where the user asks for it. Tables that are there are never altered."""

import asyncio

from bangeod.fleet import statements
from bangeod.store.postgres.connection import Conninfo
from bangeod.store.postgres.inspection import connected


def create(conninfo: Conninfo) -> list[str]:
    """Make the tables that are missing, all or none; return their names. Raises StoreError. Blocks."""
    return asyncio.run(_create(conninfo))


async def _create(conninfo: Conninfo) -> list[str]:
    async with connected(conninfo, None) as connection:
        await connection.execute(statements.ONE_MAKES_TABLES.encode())
        has_schema = await (await connection.execute(statements.HAS_SCHEMA.encode())).fetchone()
        if has_schema is None or not has_schema[0]:
            await connection.execute(statements.MAKE_SCHEMA.encode())
        found = await connection.execute(statements.FOUND.encode(), {"names": list(statements.TABLES)})
        there = {row[0] for row in await found.fetchall()}
        missing = [table for table in statements.TABLES if table not in there]
        for table in missing:
            secured = [statement.format(table=table) for statement in statements.SECURED]
            for statement in (*statements.MADE[table], *secured):
                await connection.execute(statement.encode())
            if table == "claims":
                await connection.execute(statements.EXPIRED_CLAIMS_GO.encode())
    return missing
