"""The SQLite adapter of the store: SqliteStore works on the web app's database."""

import asyncio
import contextlib
import functools
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bangeod.errors import StoreLockedError
from bangeod.model import DirtyEntry, Row
from bangeod.store.port import Census, Deleted, Page, Sizes, endless
from bangeod.store.sqlite import columns, country_names, deletion, faults, queries, shortening, tidying, whole_table
from bangeod.store.sqlite.columns import Column, Table, UnfitTableError
from bangeod.store.sqlite.connection import SharedFile
from bangeod.store.sqlite.geo_rows import read_unresolved, rows_by_address
from bangeod.store.sqlite.geo_writing import write_slice
from bangeod.store.sqlite.odd_keys import OddKeys
from bangeod.store.sqlite.paging import Bounds, pages
from bangeod.store.sqlite.row_removal import Removal
from bangeod.store.sqlite.slicing import SliceWriter, WriteGate
from bangeod.store.sqlite.time_form_watch import FormWatch
from bangeod.store.sqlite.wal_file import wal_beside
from bangeod.store.sqlite.write_trial import needs_country
from bangeod.store.sweep import Due, HeldBack, always, census, is_above, overflow, sweep

if TYPE_CHECKING:
    from sqlite3 import Connection

    from bangeod.clock import Clock

MICROSECONDS = 1_000_000
FIND_AT_ONCE = 500  # addresses per statement


class SqliteStore:
    """The store over the file at ``path``; see the port for what each method promises.

    ``busy_timeout`` and ``max_lock_time`` are in seconds: how long to try to get the lock, and how long to hold it.
    Belongs to one event loop.
    """

    def __init__(self, path: Path, *, busy_timeout: float, max_lock_time: float, clock: "Clock") -> None:
        self._file = SharedFile(path, busy_timeout=busy_timeout, clock=clock)
        self._gate = WriteGate(self._file, clock)
        self._clock = clock
        self._max_lock_time = max_lock_time
        self._schema_version: int | None = None
        self._tables: dict[str, Table | UnfitTableError] = {}
        self._is_new = False  # opened, and not reported by ``prepare`` yet
        self._form_watch = FormWatch()
        self._held_back: defaultdict[str, HeldBack] = defaultdict(HeldBack)  # by table
        self._odd_keys = OddKeys(clock.monotonic)
        self._preparing = asyncio.Lock()  # two that open at once would leave one connection open forever

    def limit(self, *, busy_timeout: float, max_lock_time: float) -> None:
        """Change the limits, in seconds; a write in progress goes on with the old ones."""
        self._file.busy_timeout = busy_timeout
        self._max_lock_time = max_lock_time

    async def prepare(self) -> bool:
        """Make sure that the file now at the path is the one in use, and look at its tables."""
        await self._look()
        is_new, self._is_new = self._is_new, False
        return is_new

    async def _look(self) -> None:
        """Open the file where needed. That it is a new one stays noted until its tables have been read too."""
        async with self._preparing:
            if await self._file.prepare():
                self._is_new, self._schema_version, self._odd_keys = True, None, OddKeys(self._clock.monotonic)
                self._form_watch = FormWatch()
                self._held_back.clear()
            known = self._schema_version
            version, tables = await self._file.read(lambda connection: look_at_tables(connection, known))
            if tables is not None:
                self._schema_version, self._tables = version, tables

    async def close(self) -> None:
        await self._file.close()

    async def rows(self) -> AsyncGenerator[Page, None]:
        async with aclosing(whole_table.walk(self._file, await self._table("geo_cache"))) as read_pages:
            async for page in read_pages:
                yield page

    async def unresolved(self) -> AsyncGenerator[Sequence[Row], None]:
        table = await self._table("geo_cache")

        def read(connection: "Connection", bounds: Bounds) -> list[Row]:
            statement = table.sql(queries.GEO_PAGE_ODD, first=bounds.first)
            return read_unresolved(connection, statement, bounds.parameters())

        async with aclosing(pages(self._file, table, read)) as read_pages:
            async for page in read_pages:
                if page:
                    yield page

    async def find(self, ips: Sequence[str]) -> Mapping[str, Row]:
        table = await self._table("geo_cache")
        found: dict[str, Row] = {}
        for start in range(0, len(ips), FIND_AT_ONCE):
            found |= await self._find(table, ips[start : start + FIND_AT_ONCE])
        return found

    async def names_by_code(self, *, but: Collection[str] = ()) -> Mapping[tuple[str, str], int]:
        return await country_names.count(self._file, await self._table("geo_cache"), but)

    async def _find(self, table: Table, ips: Sequence[str]) -> dict[str, Row]:
        odd = self._odd_keys

        def read(connection: "Connection") -> dict[str, Row] | None:
            known = odd.catch_up(connection, table, ips)
            return rows_by_address(connection, table, ips, odd.of(ips)) if known else None

        while (rows := await self._file.read(read)) is None:
            pass
        return rows

    async def write(
        self, entries: Sequence[DirtyEntry], *, time_left: Callable[[], float] = endless
    ) -> AsyncGenerator[Sequence[DirtyEntry], None]:
        table = await self._table("geo_cache")
        writer = SliceWriter(self._gate, self._max_lock_time, time_left=time_left)
        forms = await self._file.read(functools.partial(self._form_watch.look, table=table))
        start = 0
        refused: set[str] = set()
        spared: set[str] = set()
        try:
            while start < len(entries):
                chunk = entries[start : start + writer.size]
                start += len(chunk)
                planned = await write_slice(self._file, writer, table, chunk, self._odd_keys, forms=forms)
                refused.update(planned.refused)
                spared.update(planned.spared)
                without = {*planned.refused, *planned.spared}
                yield [entry for entry in chunk if entry.ip not in without] if without else chunk
        finally:
            await self._gate.finish()
        if refused:
            raise faults.no_new_rows(self._file.path, table.not_filled, table.needs_country, refused | spared)
        if spared:
            raise faults.spared(self._file.path, spared)

    async def delete_stale(
        self,
        before: int,
        *,
        keep: Callable[[str], bool],
        max_rows: int = 0,
        time_left: Callable[[], float] = endless,
    ) -> AsyncGenerator[Deleted, None]:
        table = await self._aged_geo_table()
        limit = before * MICROSECONDS
        writer = self._deleter(time_left)

        def stale(due: Due) -> bool:
            return not keep(due.label)

        try:
            removal = Removal(table, writer, limit, self._held_back[table.name])
            async with aclosing(
                sweep(deletion.due_pages(self._file, table, limit), removal, goes=stale, clock=self._clock)
            ) as slices:
                async for deleted in slices:
                    yield deleted
            if max_rows:
                async with aclosing(self._delete_above(max_rows, table, writer, limit, keep)) as slices:
                    async for deleted in slices:
                        yield deleted
        finally:
            await self._gate.finish()

    async def _delete_above(
        self, max_rows: int, table: Table, writer: SliceWriter, limit: int, keep: Callable[[str], bool]
    ) -> AsyncGenerator[Deleted, None]:
        """Delete the rows above ``max_rows``. For each row that the database keeps, another one goes."""
        stays: set[object] = set()
        while await self._count(table) > max_rows:
            known = len(stays)
            ages = deletion.aged_pages(self._file, table)
            choice, upto = await overflow(ages, max_rows, limit, keep=keep, stays=stays)
            above = functools.partial(is_above, choice=choice, limit=limit, keep=keep, stays=stays)
            removal = Removal(table, writer, upto, self._held_back[table.name], stays)
            async with aclosing(
                sweep(deletion.due_pages(self._file, table, upto), removal, goes=above, clock=self._clock)
            ) as slices:
                async for deleted in slices:
                    if deleted.keys or deleted.refused:
                        yield deleted
            if len(stays) == known:
                return

    async def count_stale(self, before: int, *, keep: Callable[[str], bool], max_rows: int = 0) -> Census:
        table = await self._aged_geo_table()
        limit = before * MICROSECONDS
        found = await census(deletion.due_pages(self._file, table, limit), goes=lambda due: not keep(due.label))
        if not max_rows:
            return found
        choice, _ = await overflow(deletion.aged_pages(self._file, table), max_rows, limit, keep=keep)
        return found._replace(matching=found.matching + choice.going)

    async def delete_expired(
        self, now: int, *, time_left: Callable[[], float] = endless
    ) -> AsyncGenerator[Deleted, None]:
        table = await self._table("sessions")
        limit = now * MICROSECONDS + 1
        removal = Removal(table, self._deleter(time_left), limit, self._held_back[table.name])
        try:
            async with aclosing(
                sweep(deletion.due_pages(self._file, table, limit), removal, goes=always, clock=self._clock)
            ) as slices:
                async for deleted in slices:
                    yield deleted
        finally:
            await self._gate.finish()

    async def count_expired(self, now: int) -> Census:
        table = await self._table("sessions")
        return await census(deletion.due_pages(self._file, table, now * MICROSECONDS + 1), goes=always)

    async def tidy(self, *, time_left: Callable[[], float] = endless) -> Mapping[str, int]:
        """Refresh SQLite's statistics; give free pages back if the web app has set that up; shorten a long WAL."""
        figures = await tidying.tidy(self._file, self._gate, self._max_lock_time, time_left)
        with contextlib.suppress(StoreLockedError):  # the log can stay long for a while
            await self.shorten_wal()
        return figures

    async def shorten_wal(self) -> None:
        """Give back the room of a WAL file that others have made long, as far as nobody is in the way."""
        await shortening.shorten(self._file, self._gate)

    async def empty_wal(self) -> float:
        """Checkpoint what others have written before a commit of theirs has to."""
        return await self._gate.relieve_others()

    async def sizes(self) -> Sizes:
        """Return the sizes of the file and its WAL; uses only stat()."""
        path = self._file.path
        return Sizes(_size(path), _size(wal_beside(path)))

    async def free_bytes(self) -> int:
        return await tidying.free_bytes(self._file)

    def _deleter(self, time_left: Callable[[], float]) -> SliceWriter:
        """Start with one row: much may depend on it, and finding that may read a whole table."""
        return SliceWriter(self._gate, self._max_lock_time, first=1, time_left=time_left)

    async def _count(self, table: Table) -> int:
        statement = table.sql(queries.COUNT)
        count: int = await self._file.read(lambda connection: connection.execute(statement).fetchone()[0])
        return count

    async def _table(self, name: str) -> Table:
        """Return the description of a table; raises SchemaError where bangeod can't work with it."""
        if name not in self._tables:
            await self._look()
        table = self._tables[name]
        if isinstance(table, UnfitTableError):
            raise faults.schema(self._file.path, str(table)) from None
        return table

    async def _aged_geo_table(self) -> Table:
        table = await self._table("geo_cache")
        if table.time is None:
            raise faults.schema(self._file.path, "table geo_cache has neither a column last_seen nor cached_at")
        return table


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def look_at_tables(
    connection: "Connection", known: int | None
) -> tuple[int, dict[str, Table | UnfitTableError] | None]:
    """Read the schema of both tables, unless it still has the version ``known``."""
    version: int = connection.execute(queries.SCHEMA_VERSION).fetchone()[0]
    if version == known:
        return version, None
    tables: dict[str, Table | UnfitTableError] = {}
    for name, fit in (("geo_cache", columns.geo_table), ("sessions", columns.sessions_table)):
        kind, sql = connection.execute(queries.KIND_OF_TABLE, (name,)).fetchone() or (None, None)
        found = [Column(*row) for row in connection.execute(queries.COLUMNS, (name,))]
        try:
            tables[name] = fit(kind, sql, found)
        except UnfitTableError as unfit:
            tables[name] = unfit
    geo = tables["geo_cache"]
    if isinstance(geo, Table):
        tables["geo_cache"] = replace(geo, needs_country=needs_country(connection, geo))
    return version, tables
