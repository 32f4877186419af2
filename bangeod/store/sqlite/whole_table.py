"""Reading all of geo_cache, for memory: newest rows first where an index has them in that order, else by key.

It should cost little more than SQLite's own reading. So a page comes as three texts, made while Python's lock is free:
the addresses, the places and the times. A place is looked up by its text, and made once.
"""

import functools
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from bangeod.model import Geo, Row
from bangeod.store import row_values
from bangeod.store.port import Page
from bangeod.store.sqlite import queries
from bangeod.store.sqlite.columns import Table
from bangeod.store.sqlite.connection import SharedFile
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.geo_rows import read_page
from bangeod.store.sqlite.paging import REPLACED, Bounds, pages

if TYPE_CHECKING:
    from collections.abc import Mapping
    from sqlite3 import Connection

AT_ONCE: Final = 250  # rows; a lookup may have to wait for them: some millisecond
AT_ONCE_BY_TIME: Final = 300  # as above: these rows are here and there in the file
DISTINCT: Final = 8_192  # places that are kept during the walk, half a kilobyte each: the first that come
OTHERS: Final = 16 * DISTINCT  # rows in other places, after which those that come from then on are kept instead
ABOVE_ALL: Final = b"\xff" * 64  # as a time: all numbers and texts come before it

_addresses: Final = msgspec.json.Decoder(list[str]).decode
_times: Final = msgspec.json.Decoder(list[int | None]).decode
_place: Final = msgspec.json.Decoder(tuple[object, object, object, object]).decode
_keys: Final = msgspec.json.Decoder(list[int | str]).decode


class _Extent(NamedTuple):
    """Where the table begins and ends, and how many rows it may have: at most so many, where it has rowids."""

    first: int | None
    last: int | None
    rows: int

    def share(self, upto: object, read: int) -> float:
        """Return how much of the table is read, from 0 to 1: by the key of the last row, else by the number of rows."""
        if isinstance(upto, int) and self.first is not None and self.last is not None:
            return min(1.0, (upto - self.first + 1) / max(1, self.last - self.first + 1))
        return min(1.0, read / max(1, self.rows))


class _NotByTimeError(Exception):
    """The rows can't be walked through by time: a time or a key is no valid text, and can't be compared with."""


async def walk(file: SharedFile, table: Table) -> AsyncGenerator[Page, None]:
    """Yield all rows, a page at a time; raises StoreError.

    By time, a row whose time changes meanwhile may be passed over.
    """
    reader = Reader(table)
    extent = await file.read(lambda connection: _extent(connection, table))
    if await file.read(lambda connection: _has_time_index(connection, table)):
        try:
            async with aclosing(_by_time(file, reader, extent)) as read_pages:
                async for page in read_pages:
                    yield page
        except _NotByTimeError:
            pass
        else:
            return
    async with aclosing(_by_key(file, reader, extent)) as read_pages:
        async for page in read_pages:
            yield page


async def _by_key(file: SharedFile, reader: "Reader", extent: _Extent) -> AsyncGenerator[Page, None]:
    read = 0
    async with aclosing(pages(file, reader.table, reader.page, largest=AT_ONCE)) as read_pages:
        async for upto, rows in read_pages:
            read += len(rows)
            if rows:
                yield Page(rows, share=extent.share(upto, read))


async def _by_time(file: SharedFile, reader: "Reader", extent: _Extent) -> AsyncGenerator[Page, None]:
    """Yield the rows that have a time, newest first, then those that have none. Raises _NotByTimeError."""
    read = 0
    time: object = ABOVE_ALL
    last: object = None
    for statement in reader.newest, reader.rest:
        keys: Sequence[object] = ()
        first = True
        while first or len(keys) == AT_ONCE_BY_TIME:
            found = functools.partial(reader.of_keys, statement=statement(first=first), time=time, key=last)
            keys, time, rows = await file.read(found)
            if any(isinstance(value, str) and REPLACED in value for value in (time, *keys[-1:])):
                raise _NotByTimeError
            if keys:
                read, last = read + len(keys), keys[-1]
            if rows:
                yield Page(rows, share=extent.share(None, read), newest_first=True)
            first = False


class Reader:
    """Reads pages on SQLite's thread, and knows the places that were read."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._places = _Places()

    def newest(self, *, first: bool) -> str:
        """Return the statement for the next keys of rows with a time."""
        return self.table.sql(queries.NEWEST_KEYS, first=first)

    def rest(self, *, first: bool) -> str:
        """Return the statement for the next keys of rows without a time."""
        return self.table.sql(queries.KEYS_WITHOUT_TIME, first=first)

    def page(self, connection: "Connection", bounds: Bounds) -> tuple[object, list[Row]]:
        """Read the rows between two keys; returns the last key too."""
        whole, plain = (
            self.table.sql(statement, first=bounds.first) for statement in (queries.GEO_PAGE_IN_ONE, queries.GEO_PAGE)
        )
        return bounds.upto, self._rows(connection, whole, plain, bounds.parameters())

    def of_keys(
        self, connection: "Connection", *, statement: str, time: object, key: object
    ) -> tuple[Sequence[object], object, list[Row]]:
        """Find the next keys by time, and read their rows; returns the keys and the last time too.

        Raises _NotByTimeError.
        """
        parameters = {"time": time, "key": key, "after": key, "limit": AT_ONCE_BY_TIME}
        try:
            blob, texts, oldest = connection.execute(statement, parameters).fetchone()
            keys = _keys(texts)
        except (engine.OperationalError, msgspec.DecodeError) as error:
            if not _is_unfit(error):
                raise
            raise _NotByTimeError from error
        if blob:
            raise _NotByTimeError
        whole, plain = (self.table.sql(text) for text in (queries.GEO_OF_KEYS_IN_ONE, queries.GEO_OF_KEYS))
        return keys, oldest, self._rows(connection, whole, plain, {"keys": texts})

    def _rows(self, connection: "Connection", whole: str, plain: str, parameters: "Mapping[str, object]") -> list[Row]:
        """Read rows all in one; where that can't be done, as it is with BLOBs among them, one by one."""
        try:
            blob, in_json, texts, times_in_json = connection.execute(whole, parameters).fetchone()
            if not blob:
                ips, places, times = _addresses(in_json), self._read_places(texts), _times(times_in_json)
                return list(map(Row, ips, places, times))
        except (engine.OperationalError, msgspec.DecodeError) as error:
            if not _is_unfit(error):
                raise
        return read_page(connection, plain, parameters)

    def _read_places(self, texts: str | None) -> list[Geo]:
        """Return the places of some rows."""
        return list(map(self._places.__getitem__, texts.split("\n"))) if texts else []


class _Places(dict[str, Geo]):
    """Places by the text that a page has for them; a new one is read. Raises msgspec.DecodeError.

    Not all are kept: the memory of those that come once or twice would stay with the process, since entries lie in
    between by the end of the walk.
    """

    def __init__(self) -> None:
        super().__init__()
        self._others = 0  # how often one was not kept

    def __missing__(self, text: str) -> Geo:
        """Read a place."""
        place = row_values.read_anew(*_place(text))
        if len(self) < DISTINCT:
            self[text] = place
        else:
            self._others += 1
            if self._others == OTHERS:
                self._others = 0
                self.clear()
        return place


def _is_unfit(error: Exception) -> bool:
    """Say whether it is about values that JSON can't hold, or that are of another type than expected."""
    return isinstance(error, msgspec.DecodeError) or "BLOB" in str(error) or "malformed JSON" in str(error)


def _extent(connection: "Connection", table: Table) -> _Extent:
    if not table.has_rowid:
        return _Extent(None, None, connection.execute(table.sql(queries.COUNT)).fetchone()[0])
    first, last = connection.execute(table.sql(queries.FIRST_AND_LAST_ROW)).fetchone()
    return _Extent(first, last, 0 if first is None else last - first + 1)


def _has_time_index(connection: "Connection", table: Table) -> bool:
    """Say whether an index has the rows in the order of their times: else SQLite would sort them for each page."""
    if table.time is None:
        return False
    parameters = {"time": ABOVE_ALL, "key": None, "limit": 1}
    plan = connection.execute(table.sql(queries.PLAN_BY_TIME), parameters).fetchall()
    return not any("TEMP B-TREE" in step[-1] for step in plan)
