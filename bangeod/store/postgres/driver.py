"""psycopg, the library that speaks with the server: imported here alone, and only where a server is to be reached.

It comes with ``bangeod[postgres]``; without that, nothing else of bangeod misses it.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.AsyncConnection[tuple[Any, ...]]


class Notice(NamedTuple):
    """A message that a session has sent by NOTIFY."""

    sender: int  # the process id of its backend
    channel: str
    payload: str


@cache
def available() -> bool:
    """Say whether psycopg is there and finds a libpq that it can use."""
    try:
        import psycopg  # noqa: F401, PLC0415 - an extra; to import it takes a while
    except ImportError:
        return False
    return True


def error() -> "type[psycopg.Error]":
    """Return the class of all errors of psycopg, to be caught."""
    import psycopg  # noqa: PLC0415 - as above

    return psycopg.Error


def keywords(conninfo: str) -> dict[str, str | int]:
    """Return the keywords of a conninfo or url and their values; raises ``error()`` where libpq can't read it."""
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415 - as above

    return {name: value for name, value in conninfo_to_dict(conninfo).items() if value is not None}


async def connect(wanted: Mapping[str, str | int]) -> "Connection":
    """Return a connection on which each statement is a transaction; raises ``error()``, and OSError for no address.

    Nothing is prepared on the server: a statement prepared there fails once the web app has migrated its table, and is
    unknown behind a pooler.
    """
    from psycopg import AsyncConnection  # noqa: PLC0415 - as above
    from psycopg.conninfo import make_conninfo  # noqa: PLC0415 - as above

    # It warns of connections that it gives up after a cancellation, say; what matters of that is raised as well.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    return await AsyncConnection.connect(make_conninfo("", **wanted), autocommit=True, prepare_threshold=None)


def read_leniently(connection: "Connection") -> None:
    """Have a connection read text that is no UTF-8, with replacement characters: SQL_ASCII stores any bytes."""
    from psycopg.adapt import Buffer, Loader  # noqa: PLC0415 - as above

    class LenientLoader(Loader):
        def load(self, data: Buffer) -> str:
            return bytes(data).decode(errors="replace")

    for name in ("text", "varchar", "bpchar"):
        connection.adapters.register_loader(name, LenientLoader)


def is_idle(connection: "Connection") -> bool:
    """Say whether a connection waits for a statement: it is neither closed nor in the midst of anything."""
    from psycopg.pq import TransactionStatus  # noqa: PLC0415 - as above

    return not connection.closed and connection.info.transaction_status == TransactionStatus.IDLE


async def notices(connection: "Connection", within: float) -> Sequence[Notice]:
    """Return the notices that have come, else those that come within so many seconds; raises ``error()``.

    psycopg's own waiting would wake the process ten times a second.
    """
    return await _come(connection) or (await _readable(connection, within) and await _come(connection)) or ()


async def _come(connection: "Connection") -> Sequence[Notice]:
    try:
        return [Notice(each.pid, each.channel, each.payload) async for each in connection.notifies(timeout=0)]
    except UnicodeError:  # of a database that stores any bytes: not bangeod's, which sends addresses
        return ()


async def _readable(connection: "Connection", within: float) -> bool:
    """Say whether the server says something within so many seconds."""
    loop, descriptor = asyncio.get_running_loop(), connection.fileno()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        async with asyncio.timeout(within):
            await readable.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(descriptor)
    return True
