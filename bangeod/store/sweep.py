"""Deleting what is past its time from one table, in slices that the web app doesn't notice."""

import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from bangeod.store import queries
from bangeod.store.cap import Overflow
from bangeod.store.columns import Table
from bangeod.store.connection import SharedFile
from bangeod.store.paging import Bounds, pages
from bangeod.store.port import Census, Deleted
from bangeod.store.slices import SliceWriter

if TYPE_CHECKING:
    from sqlite3 import Connection


class Due(NamedTuple):
    """A row that may go."""

    key: object
    label: str
    micros: int


class Found(NamedTuple):
    """What a page holds of rows that may go, and of rows whose age can't be read."""

    due: list[Due]
    unreadable: int
    example: str | None


def _finder(table: Table, before: int) -> "Callable[[Connection, Bounds], Found]":
    def find(connection: "Connection", bounds: Bounds) -> Found:
        statement = table.sql(queries.DUE_PAGE, first=bounds.first)
        due: list[Due] = []
        unreadable, example = 0, None
        for key, label, micros, raw in connection.execute(statement, {**bounds.parameters(), "before": before}):
            if micros is None:
                unreadable += 1
                example = example or repr(raw)[:80]
            else:
                due.append(Due(key, str(label), micros))
        return Found(due, unreadable, example)

    return find


async def sweep(
    file: SharedFile, table: Table, writer: SliceWriter, before: int, *, goes: Callable[[Due], bool]
) -> AsyncGenerator[Deleted, None]:
    """Delete the rows whose time is earlier than ``before`` (microseconds) and that ``goes`` lets go."""
    waiting: list[Due] = []
    async with aclosing(pages(file, table, _finder(table, before))) as found_pages:
        async for found in found_pages:
            waiting += filter(goes, found.due)
            if found.unreadable:
                yield Deleted((), found.unreadable, found.example)
            while len(waiting) >= writer.size:
                chunk, waiting = waiting[: writer.size], waiting[writer.size :]
                yield await _delete(table, writer, chunk, before)
    while waiting:
        chunk, waiting = waiting[: writer.size], waiting[writer.size :]
        yield await _delete(table, writer, chunk, before)


async def _delete(table: Table, writer: SliceWriter, chunk: Sequence[Due], before: int) -> Deleted:
    """Delete by key what still is as old as it was found to be; another row may have taken the key since."""
    if all(type(due.key) is int for due in chunk):  # other keys need not fit into JSON
        with contextlib.suppress(_ChangedError):
            return Deleted(await writer.write(_all_of(table, chunk, before), rows=len(chunk)))
    return Deleted(await writer.write(_each_of(table, chunk, before), rows=len(chunk)))


class _ChangedError(Exception):
    """Not all rows are any more as they were found to be."""


def _all_of(table: Table, chunk: Sequence[Due], before: int) -> "Callable[[Connection], list[str]]":
    """Delete all, or nothing where a row is no longer there or no longer as old.

    One statement runs without Python's lock. Else the write lock would be held while the event loop has that one.
    """
    statement = table.sql(queries.DELETE_ALL_DUE)
    parameters = {"keys": msgspec.json.encode([due.key for due in chunk]).decode(), "before": before}

    def work(connection: "Connection") -> list[str]:
        if connection.execute(statement, parameters).rowcount != len(chunk):
            raise _ChangedError
        return [due.label for due in chunk]

    return work


def _each_of(table: Table, chunk: Sequence[Due], before: int) -> "Callable[[Connection], list[str]]":
    """Delete row by row, whatever the keys are, and see which of them were still there."""
    statement = table.sql(queries.DELETE_DUE)

    def work(connection: "Connection") -> list[str]:
        return [
            due.label for due in chunk if connection.execute(statement, {"key": due.key, "before": before}).rowcount
        ]

    return work


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
    file: SharedFile, table: Table, max_rows: int, before: int, *, keep: Callable[[str], bool]
) -> tuple[Overflow, int]:
    """Choose what goes above ``max_rows``, not counting what is stale (earlier than ``before``) anyway.

    Returns the choice and the time, in microseconds, at or after which no row goes.
    """

    def read(connection: "Connection", bounds: Bounds) -> list[tuple[str, int | None]]:
        statement = table.sql(queries.AGES_PAGE, first=bounds.first)
        return [(str(label), micros) for label, micros in connection.execute(statement, bounds.parameters())]

    choice = Overflow()
    async with aclosing(pages(file, table, read)) as read_pages:
        async for page in read_pages:
            for label, micros in page:
                kept = keep(label)
                if micros is None or micros >= before or kept:
                    choice.add(micros, kept=kept)
    return choice, choice.decide(max_rows)
