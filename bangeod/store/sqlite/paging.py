"""Paging through a table by its key, so that no statement reads more than a page and none reads a row twice."""

from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from bangeod.store.sqlite import faults, queries
from bangeod.store.sqlite.columns import Table
from bangeod.store.sqlite.connection import SharedFile

if TYPE_CHECKING:
    from sqlite3 import Connection

T = TypeVar("T")

REPLACED = "\N{REPLACEMENT CHARACTER}"  # in a key that is not UTF-8, which then can't be compared with
FIRST_PAGE = 500  # rows
LARGEST_PAGE = 4_000  # rows; some 10 ms of work, during which the read snapshot keeps the WAL from a reset


class Bounds(NamedTuple):
    """The keys of a page: after ``after`` (exclusive), up to ``upto`` (inclusive)."""

    first: bool
    after: object
    upto: object

    def parameters(self) -> dict[str, object]:
        """Return the bounds as the parameters of the statements."""
        return {"after": self.after, "upto": self.upto}


async def pages(
    file: SharedFile, table: Table, read: "Callable[[Connection, Bounds], T]", *, largest: int = LARGEST_PAGE
) -> AsyncGenerator[T, None]:
    """Yield what ``read``, on SQLite's thread, returns for each page, in the order of the keys."""
    after: object = None
    first = True
    size = min(FIRST_PAGE, largest)

    def page(connection: "Connection") -> tuple[object, int, T | None]:
        statement = table.sql(queries.PAGE_END, first=first)
        upto, rows = connection.execute(statement, {"after": after, "limit": size}).fetchone()
        return upto, rows, read(connection, Bounds(first, after, upto)) if rows else None

    while True:
        upto, rows, result = await file.read(page)
        if isinstance(upto, str) and REPLACED in upto:
            raise faults.unpageable(file.path, table.name)
        if result is not None:
            yield result
        if rows < size:
            return
        after, first, size = upto, False, min(size * 2, largest)
