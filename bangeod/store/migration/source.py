"""The file of SQLite's, as it is copied: rows in the order of their keys, a page at a time.

Each page is one short statement. Between two of them nothing is held, so that no log grows and no backup is disturbed,
however long the server takes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from bangeod.store.sqlite import columns, faults, queries
from bangeod.store.sqlite.column import Column
from bangeod.store.sqlite.columns import Table, UnfitTableError
from bangeod.store.sqlite.connection import SharedFile
from bangeod.store.sqlite.engine import engine

if TYPE_CHECKING:
    from collections.abc import Callable
    from sqlite3 import Connection

    from bangeod.clock import Clock

T = TypeVar("T")

AT_ONCE: Final = 1_000  # rows
_FIT: Final = {"geo_cache": columns.geo_table, "sessions": columns.sessions_table}


@dataclass(frozen=True)
class SourceTable:
    """A table of the file, with its columns' names as they are declared."""

    table: Table
    columns: Sequence[str]


class Part(NamedTuple):
    """A page: its rows, each a tuple of the columns asked for, and the keys between which they are."""

    rows: Sequence[tuple[Any, ...]]
    after: object  # None for the first
    upto: object
    is_last: bool


class Source:
    """The file at a path, read while others write to it. Raises only StoreError."""

    def __init__(self, path: Path, *, busy_timeout: float, clock: "Clock") -> None:
        self._file = SharedFile(path, busy_timeout=busy_timeout, clock=clock)
        self.path = path

    async def open(self) -> Mapping[str, SourceTable]:
        """Open the file and look at its tables; raises SchemaError where one is not there."""
        await self._file.prepare()
        return await self._file.read(self._look)

    async def make_sure(self) -> None:
        """Raise StoreReplacedError if another file has come to the path since it was opened."""
        if await self._file.prepare():
            raise faults.replaced(self.path)

    async def close(self) -> None:
        await self._file.close()

    async def count(self, table: SourceTable) -> int:
        statement = table.table.sql(queries.COUNT)
        return await self._file.read(lambda connection: int(connection.execute(statement).fetchone()[0]))

    async def highest(self, table: SourceTable, column: str) -> int | None:
        """Return the highest whole number in a column; None where there is none."""
        statement = queries.HIGHEST_NUMBER.format(table=table.table.name, column=quoted(column))
        return await self._file.read(lambda connection: _number(connection.execute(statement).fetchone()[0]))

    async def page(self, table: SourceTable, names: Sequence[str], after: object, *, upto: object = None) -> Part:
        """Read the next page after a key (None: the first), or again what is up to a key."""
        known = table.table
        statement = queries.COPIED_PAGE if upto is None else queries.COPIED_AGAIN
        sql = statement.format(
            key=known.key,
            columns=", ".join(map(quoted, names)),
            table=known.name,
            after=queries.AFTER_START if after is None else queries.AFTER_KEY.format(key=known.key),
        )
        parameters = {"after": after, "limit": AT_ONCE, "upto": upto}
        found = await self._file.read(
            lambda connection: _bytes_kept(connection, lambda: connection.execute(sql, parameters).fetchall())
        )
        last = found[-1][0] if found else after
        is_last = len(found) < AT_ONCE
        if not is_last and isinstance(last, str) and any("\ud800" <= character <= "\udfff" for character in last):
            raise faults.unpageable(self.path, known.name)
        return Part([row[1:] for row in found], after, last, is_last)

    def _look(self, connection: "Connection") -> Mapping[str, SourceTable]:
        found: dict[str, SourceTable] = {}
        for name, fit in _FIT.items():
            kind, sql = connection.execute(queries.KIND_OF_TABLE, (name,)).fetchone() or (None, None)
            described = [Column(*row) for row in connection.execute(queries.COLUMNS, (name,))]
            try:
                table = fit(kind, sql, described)
            except UnfitTableError as unfit:
                raise faults.schema(self.path, str(unfit)) from None
            found[name] = SourceTable(table, [column.name for column in described])
        return found


def quoted(name: str) -> str:
    """Return a column's name as SQL has it."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _bytes_kept(connection: "Connection", work: "Callable[[], T]") -> T:
    """Run ``work``; text that is no UTF-8 comes with its bytes as surrogates. To decode all of it so takes longer."""
    try:
        return work()
    except engine.OperationalError as error:
        if "decode to UTF-8" not in str(error):
            raise
    connection.text_factory = lambda raw: raw.decode(errors="surrogateescape")
    try:
        return work()
    finally:
        connection.text_factory = str
