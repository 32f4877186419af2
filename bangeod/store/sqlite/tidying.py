"""Tidying after a deletion: SQLite's statistics, and free pages given back if the web app wants that."""

import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from bangeod.errors import StoreLockedError
from bangeod.store.sqlite import queries
from bangeod.store.sqlite.connection import SharedFile
from bangeod.store.sqlite.slicing import SliceWriter, WriteGate

if TYPE_CHECKING:
    from sqlite3 import Connection

STATISTICS = "sqlite_stat1"  # sqlite.org/lang_analyze.html
INCREMENTAL = 2  # sqlite.org/pragma.html#pragma_auto_vacuum


async def tidy(
    file: SharedFile, gate: WriteGate, max_lock_time: float, time_left: Callable[[], float]
) -> Mapping[str, int]:
    """Refresh statistics if the web app keeps any; with incremental auto_vacuum, give free pages back in slices.

    Returns ``free_pages`` still left, ``page_size`` in bytes, and ``pages_given_back``.
    """
    with contextlib.suppress(StoreLockedError):  # statistics can wait for the next run
        await file.write(_optimize)
    mode, free, size = await file.read(_pages)
    given_back = 0
    if mode == INCREMENTAL and free:
        writer = SliceWriter(gate, max_lock_time, time_left=time_left)
        await _give_back(writer, free)
        await gate.finish()
        before, (_, free, _) = free, await file.read(_pages)
        given_back = max(0, before - free)  # the web app may have freed or used some meanwhile
    return {"free_pages": free, "page_size": size, "pages_given_back": given_back}


async def free_bytes(file: SharedFile) -> int:
    """Return how many bytes the free pages have."""
    _, free, size = await file.read(_pages)
    return free * size


async def _give_back(writer: SliceWriter, free: int) -> None:
    given = 0
    while given < free:
        pages = min(writer.size, free - given)

        def work(connection: "Connection", pages: int = pages) -> None:
            _give_back_some(connection, pages)

        await writer.write(work, rows=pages)
        given += pages


def _give_back_some(connection: "Connection", pages: int) -> None:
    """Give pages back. Python 3.11's own module with SQLite 3.40.1 gives back one each time that it is told to."""
    (before,) = connection.execute(queries.FREE_PAGES).fetchone()
    left = before
    while before - left < pages:
        connection.execute(queries.GIVE_BACK.format(pages=pages - (before - left))).fetchall()
        known, (left,) = left, connection.execute(queries.FREE_PAGES).fetchone()
        if left == known:
            break


def _optimize(connection: "Connection") -> None:
    """Refresh the statistics if the web app keeps any: the first ones would add a table to its schema."""
    if connection.execute(queries.KIND_OF_TABLE, (STATISTICS,)).fetchone() is not None:
        connection.execute(queries.OPTIMIZE).fetchall()


def _pages(connection: "Connection") -> tuple[int, int, int]:
    mode, free, size = (
        connection.execute(statement).fetchone()[0]
        for statement in (queries.AUTO_VACUUM, queries.FREE_PAGES, queries.PAGE_SIZE)
    )
    return mode, free, size
