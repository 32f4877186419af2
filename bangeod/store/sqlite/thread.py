"""SQLite's thread: aiosqlite's connection, and all that bangeod needs of it which is private there.

aiosqlite 0.22 (pyproject.toml allows no other) offers a trip to its thread for each statement, and bangeod makes one
for a whole transaction. So three attributes of its ``Connection`` are reached for, here and nowhere else: ``_execute``,
which queues any function for the thread; ``_conn``, the connection as SQLite has it; and ``_thread``, which has to be
waited for where the file could not be opened.
"""

import asyncio
from typing import TYPE_CHECKING, Any, Self, TypeVar

import aiosqlite

from bangeod.store.sqlite.engine import engine

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from sqlite3 import Connection

T = TypeVar("T")

_CHUNK = 64  # rows that aiosqlite's own iterators fetch at a time; none is used here


class SqliteThread:
    """One connection and the thread on which all is done with it. ``open`` makes it; the event loop's."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, connect: "Callable[[], Connection]") -> Self:
        """Connect on a new thread. Raises what ``connect`` raises; an error of SQLite's leaves no thread behind."""
        connection = aiosqlite.Connection(connect, _CHUNK)
        try:
            await connection
        except engine.Error:
            # It still tells the event loop that it ends; the loop must not be closed by then.
            await asyncio.to_thread(connection._thread.join)  # noqa: SLF001 - see the module's docstring
            raise
        return cls(connection)

    @property
    def raw(self) -> "Connection":
        """Return SQLite's own connection, to be used on the thread. Raises ValueError where it is closed."""
        return self._connection._conn  # noqa: SLF001 - see the module's docstring

    def run(self, work: "Callable[[], T]") -> "Coroutine[Any, Any, T]":
        """Do the work on the thread, after all that waits there. Raises ValueError where the connection is closed."""
        done: Coroutine[Any, Any, T] = self._connection._execute(work)  # type: ignore[no-untyped-call] # noqa: SLF001 - as above
        return done

    async def close(self) -> None:
        """Close the connection, after all that waits on the thread, and end that. Raises errors of SQLite's."""
        await self._connection.close()
