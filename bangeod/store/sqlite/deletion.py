"""Reading rows past their time from one table, page by page; which of them go is decided in store/sweep.py."""

from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING

from bangeod.store.sqlite import queries
from bangeod.store.sqlite.columns import Table
from bangeod.store.sqlite.connection import SharedFile
from bangeod.store.sqlite.paging import Bounds, pages
from bangeod.store.sweep import Aged, Due, DuePage

if TYPE_CHECKING:
    from sqlite3 import Connection


def due_pages(file: SharedFile, table: Table, before: int) -> AsyncGenerator[DuePage, None]:
    """Yield the rows whose time is earlier than ``before`` (microseconds), and how many have none that can be read."""

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

    return pages(file, table, find)


def aged_pages(file: SharedFile, table: Table) -> AsyncGenerator[Sequence[Aged], None]:
    """Yield all rows with their times."""

    def read(connection: "Connection", bounds: Bounds) -> list[Aged]:
        statement = table.sql(queries.AGES_PAGE, first=bounds.first)
        found = connection.execute(statement, bounds.parameters())
        return [Aged(key, str(label), micros) for key, label, micros in found]

    return pages(file, table, read)
