"""Deleting rows past their time from one table, in slices that the web app doesn't notice."""

from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

from bangeod.store.port import Census, Deleted
from bangeod.store.sqlite import queries
from bangeod.store.sqlite.columns import Table
from bangeod.store.sqlite.connection import SharedFile
from bangeod.store.sqlite.paging import Bounds, pages
from bangeod.store.sqlite.row_cap import Overflow
from bangeod.store.sqlite.row_removal import RETRY_SECONDS, Due, Removal

if TYPE_CHECKING:
    from sqlite3 import Connection

    from bangeod.clock import Clock


class DuePage(NamedTuple):
    """The rows of a page that may go, and how many have an unreadable time."""

    due: list[Due]
    unreadable: int
    example: str | None


def _finder(table: Table, before: int) -> "Callable[[Connection, Bounds], DuePage]":
    def find(connection: "Connection", bounds: Bounds) -> DuePage:
        statement = table.sql(queries.DUE_PAGE, first=bounds.first)
        due: list[Due] = []
        unreadable, example = 0, None
        for key, label, micros, raw in connection.execute(statement, {**bounds.parameters(), "before": before}):
            if micros is None:
                unreadable += 1
                example = example or repr(raw)[:80]
            else:
                due.append(Due(key, str(label), micros, raw))
        return DuePage(due, unreadable, example)

    return find


async def sweep(
    file: SharedFile, table: Table, removal: Removal, before: int, *, goes: Callable[[Due], bool], clock: "Clock"
) -> AsyncGenerator[Deleted, None]:
    """Delete the rows whose time is earlier than ``before`` (microseconds) and for which ``goes`` is true.

    Rows held back in an earlier run come last, and for no longer than RETRY_SECONDS.
    """
    waiting: list[Due] = []
    again: list[Due] = []
    async with aclosing(pages(file, table, _finder(table, before))) as found_pages:
        async for found in found_pages:
            for due in filter(goes, found.due):
                (again if due.key in removal.held_back else waiting).append(due)
            if found.unreadable:
                yield Deleted((), found.unreadable, found.example)
            while len(waiting) >= removal.size:
                yield await _next(removal, waiting)
    while waiting:
        yield await _next(removal, waiting)
    again.sort(key=lambda due: removal.held_back.turn(due.key))
    until = clock.monotonic() + RETRY_SECONDS
    while again and clock.monotonic() < until:
        yield await _next(removal, again)
    if again:
        yield removal.leave(again)


async def _next(removal: Removal, waiting: list[Due]) -> Deleted:
    """Delete one slice of the waiting rows."""
    deleted, settled = await removal.delete(waiting[: removal.size])
    del waiting[:settled]
    return deleted


async def census(file: SharedFile, table: Table, before: int, *, goes: Callable[[Due], bool]) -> Census:
    """Count what a sweep would delete."""
    matching = unreadable = 0
    example = None
    async with aclosing(pages(file, table, _finder(table, before))) as found_pages:
        async for found in found_pages:
            matching += sum(map(goes, found.due))
            unreadable += found.unreadable
            example = example or found.example
    return Census(matching, unreadable, example)


async def overflow(
    file: SharedFile,
    table: Table,
    max_rows: int,
    before: int,
    *,
    keep: Callable[[str], bool],
    stays: Collection[object] | None = None,
) -> tuple[Overflow, int]:
    """Choose which rows go above ``max_rows``.

    Stale rows (earlier than ``before``) do not count, as they go anyway. With ``stays``, they have already been deleted
    where possible: stale rows still there, and the rows with the keys in ``stays``, count but are not chosen.

    Returns the choice and the time, in microseconds, at or after which no row goes.
    """

    def read(connection: "Connection", bounds: Bounds) -> list[tuple[object, str, int | None]]:
        statement = table.sql(queries.AGES_PAGE, first=bounds.first)
        found = connection.execute(statement, bounds.parameters())
        return [(key, str(label), micros) for key, label, micros in found]

    choice = Overflow()
    async with aclosing(pages(file, table, read)) as read_pages:
        async for page in read_pages:
            for key, label, micros in page:
                kept = keep(label)
                is_stale = micros is not None and micros < before and not kept
                if stays is not None and (is_stale or key in stays):
                    choice.add(None, kept=kept)
                elif not is_stale:
                    choice.add(micros, kept=kept)
    return choice, choice.decide(max_rows)
