"""Statements on a server that may hang: a machine that is stopped, say, neither answers nor ends the connection."""

import asyncio
from typing import TYPE_CHECKING

from bangeod.errors import StoreUnreachableError

if TYPE_CHECKING:
    from bangeod.store.postgres.session import Rows, Session, Values


async def in_time(
    session: "Session", statement: str, values: "Values | None" = None, *, within: float, again: bool = False
) -> "Rows":
    """Run a statement as the session does, and give it up after so many seconds. Raises StoreError."""
    running = asyncio.get_running_loop().create_task(session.run(statement, values, again=again), name="ask the fleet")
    try:
        await asyncio.wait({running}, timeout=within)
    finally:
        if not running.done():
            from bangeod.fleet.fleet import give_up  # noqa: PLC0415 - most daemons, in no fleet, have no use for it

            await give_up({running})
    if running.done() and not running.cancelled():
        return running.result()
    problem = f"the server has not answered for {within:g} s"
    raise StoreUnreachableError(session.conninfo.shown, problem, "look at what keeps it busy")
