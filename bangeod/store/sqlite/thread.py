"""SQLite's thread: aiosqlite's connection, and all private parts of aiosqlite that bangeod uses.

aiosqlite 0.22 (pyproject.toml allows no other) goes to its thread for each statement; bangeod goes once for a whole
transaction. So three attributes of its ``Connection`` are used, here and nowhere else: ``_execute``, which queues any
function for the thread; ``_conn``, SQLite's own connection; and ``_thread``, which has to be waited for if the file
could not be opened.
"""

import asyncio
from typing import TYPE_CHECKING, Any, Self, TypeVar

import aiosqlite

from bangeod.store.sqlite.engine import engine

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from sqlite3 import Connection

T = TypeVar("T")

_CHUNK = 64  # rows that aiosqlite's own iterators fetch at a time; they are not used here


class SqliteThread:
    """One connection and the thread on which all its work is done. Made by ``open``; belongs to the event loop."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, connect: "Callable[[], Connection]") -> Self:
        """Connect on a new thread. Raises what ``connect`` raises; after a SQLite error no thread is left behind."""
        connection = aiosqlite.Connection(connect, _CHUNK)
        try:
            await connection
        except engine.Error:
            # The thread still reports its end to the event loop, which must not be closed by then.
            await asyncio.to_thread(connection._thread.join)  # noqa: SLF001 - see the module's docstring
            raise
        return cls(connection)

    @property
    def raw(self) -> "Connection":
        """Return SQLite's own connection, to be used on the thread. Raises ValueError where it is closed."""
        return self._connection._conn  # noqa: SLF001 - see the module's docstring

    def run(self, work: "Callable[[], T]") -> "Coroutine[Any, Any, T]":
        """Run the work on the thread, after all work queued there. Raises ValueError where the connection is closed."""
        done: Coroutine[Any, Any, T] = self._connection._execute(work)  # type: ignore[no-untyped-call] # noqa: SLF001 - as above
        return done

    async def close(self) -> None:
        """Close the connection and end the thread, after all work queued there. Raises SQLite errors."""
        await self._connection.close()
