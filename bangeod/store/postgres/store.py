"""The PostgreSQL adapter of the store: PostgresStore works on the web app's database on a server."""

import asyncio
import functools
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Final

from bangeod.addresses import read_address
from bangeod.errors import StoreError, StoreUnreachableError
from bangeod.model import DirtyEntry, Row
from bangeod.store import row_values
from bangeod.store.port import Census, Deleted, Page, Sizes, endless
from bangeod.store.postgres import catalogue, columns, due_rows, faults, queries, walking
from bangeod.store.postgres.ahead import ahead
from bangeod.store.postgres.announcing import Announcer
from bangeod.store.postgres.columns import Relation, Table, UnfitTableError
from bangeod.store.postgres.connection import Conninfo
from bangeod.store.postgres.geo_writing import SPARED, Change, GeoWriter
from bangeod.store.postgres.odd_keys import OddKeys
from bangeod.store.postgres.row_removal import Removal
from bangeod.store.postgres.session import Identity, Session
from bangeod.store.postgres.sure_deletion import SureDeletion
from bangeod.store.sweep import Due, HeldBack, always, census, is_above, overflow, sweep
from bangeod.store.times import MICROSECONDS

if TYPE_CHECKING:
    from bangeod.clock import Clock
    from bangeod.store.postgres.due_rows import Blocks

FIND_AT_ONCE: Final = 2_000  # addresses per statement: some milliseconds of the event loop's
NO_LOG: Final = 60.0  # seconds until it is asked again for a log that the server keeps by itself


class PostgresStore:
    """The store over the tables on a server; see the port for what each method promises.

    ``schema`` names the tables' schema; None: they are looked for as the role's search_path says. ``busy_timeout`` and
    ``max_lock_time`` are in seconds: how long to wait for a lock, and how long to keep rows locked. Two connections:
    one reads, and one writes, which may have to wait for somebody's lock. Belongs to one event loop.
    """

    def __init__(
        self,
        conninfo: Conninfo,
        clock: "Clock",
        *,
        schema: str | None = None,
        max_lock_time: float = 0.01,
        busy_timeout: float = 5.0,
    ) -> None:
        self._conninfo = conninfo
        self._clock = clock
        self._schema = schema
        self._max_lock_time = max_lock_time
        self._reader = Session(conninfo, clock, schema=schema, lock_timeout=busy_timeout)
        self._writer = Session(conninfo, clock, schema=schema, lock_timeout=busy_timeout)
        self._announcer = Announcer(self._writer, clock)
        self._known: tuple[Identity, int | None] | None = None  # the database in use, and the oid of its geo_cache
        self._is_new = False  # found, and not reported by ``prepare`` yet
        self._tables: dict[str, Table | UnfitTableError] = {}
        self._odd_keys = OddKeys(clock)
        self._held_back: defaultdict[str, HeldBack] = defaultdict(HeldBack)  # by table
        self._preparing = asyncio.Lock()

    def limit(self, *, busy_timeout: float, max_lock_time: float) -> None:
        """Change the limits, in seconds; a write in progress, and a connection, go on with the old ones."""
        self._reader.lock_timeout = self._writer.lock_timeout = busy_timeout
        self._max_lock_time = max_lock_time

    async def prepare(self) -> bool:
        """Make sure that the server answers, and look at its tables; return whether it is another database."""
        await self._look()
        is_new, self._is_new = self._is_new, False
        return is_new

    async def _look(self) -> None:
        """Look at the tables. That they are another database's stays noted until ``prepare`` has said so."""
        async with self._preparing:
            identity = await self._reader.identity()
            tables = {
                "geo_cache": await self._described("geo_cache", columns.geo_table),
                "sessions": await self._described("sessions", columns.sessions_table),
            }
            geo = tables["geo_cache"]
            known = self._known
            oid = geo.oid if isinstance(geo, Table) else known and known[1]
            # A table that has just been made holds nothing yet, and one that is gone for now may come back.
            if known is None or known[0] != identity or known[1] not in (None, oid):
                self._is_new = True
                self._odd_keys = OddKeys(self._clock)
                self._held_back.clear()
            self._known, self._tables = (identity, oid), tables

    async def _described(
        self, name: str, fit: Callable[[Relation | None, str | None], Table]
    ) -> Table | UnfitTableError:
        try:
            return fit(await catalogue.relation(self._reader, name), self._schema)
        except UnfitTableError as unfit:
            return unfit

    def is_own(self, backend: int) -> bool:
        """Say whether a notice from this process of the server's is of what this store has written."""
        return backend == self._writer.backend

    async def close(self) -> None:
        """End both connections. ``prepare`` makes them again."""
        self._known = None
        await self._reader.close()
        await self._writer.close()

    async def rows(self) -> AsyncGenerator[Page, None]:
        async with aclosing(walking.rows(self._reader, await self._table("geo_cache"))) as pages:
            async for page in pages:
                yield page

    async def unresolved(self) -> AsyncGenerator[Sequence[Row], None]:
        async with aclosing(walking.unresolved(self._reader, await self._table("geo_cache"))) as pages:
            async for page in pages:
                yield page

    async def find(self, ips: Sequence[str]) -> Mapping[str, Row]:
        table = await self._table("geo_cache")
        found: dict[str, Row] = {}
        if ips:
            await self._odd_keys.catch_up(self._reader, table)
        for start in range(0, len(ips), FIND_AT_ONCE):
            found |= await self._find(table, ips[start : start + FIND_AT_ONCE])
        return found

    async def _find(self, table: Table, ips: Sequence[str]) -> dict[str, Row]:
        found: dict[str, Row] = {}
        place, seconds, wanted = row_values.read, table.seconds("last_seen"), set(ips)
        texts = list(self._odd_keys.texts(table, ips))
        for key, code, name, asn, org, seen in await self._reader.run(
            table.sql(queries.FIND), {"ips": texts}, again=True
        ):
            ip = key if key in wanted else read_address(key)[1]
            known = found.get(ip)
            if known is None or known.geo.country_code is None:
                found[ip] = Row(key, place(code, name, asn, org), seconds(seen))
        return found

    async def names_by_code(self, *, but: Collection[str] = ()) -> Mapping[tuple[str, str], int]:
        return await walking.names_by_code(self._reader, await self._table("geo_cache"), but)

    async def write(
        self,
        entries: Sequence[DirtyEntry],
        *,
        time_left: Callable[[], float] = endless,  # noqa: ARG002 - the server's backups need no quiet
    ) -> AsyncGenerator[Sequence[DirtyEntry], None]:
        async with aclosing(self._write(entries)) as slices, self._announced():
            async for done in slices:
                yield done
                await self._announcer.send_if_due()

    @asynccontextmanager
    async def _announced(self) -> AsyncGenerator[None, None]:
        """Send at the end what is to be announced, also where what is left is refused; not where nothing can be."""
        try:
            yield
        except (asyncio.CancelledError, StoreUnreachableError):
            raise
        except BaseException:
            await self._announcer.send()
            raise
        await self._announcer.send()

    async def _write(self, entries: Sequence[DirtyEntry]) -> AsyncGenerator[Sequence[DirtyEntry], None]:
        if not entries:
            return
        table = await self._to_write("geo_cache")
        await self._odd_keys.catch_up(self._writer, table)
        writer = GeoWriter(self._reader, self._writer, table, self._odd_keys, self._max_lock_time)
        refused: dict[str, str] = {}
        waiting: list[DirtyEntry] = []
        async with aclosing(ahead(_planned(writer, entries))) as slices:
            async for chunk, changes in slices:
                outcome = await writer.write(chunk, changes)
                self._announcer.add(outcome.news)
                refused |= outcome.refused
                waiting += [entry for entry in chunk if entry.ip in outcome.missed]
                without = outcome.unwritten
                yield [entry for entry in chunk if entry.ip not in without] if without else chunk
        if waiting:
            await self._announcer.send()
        for entry in waiting:
            outcome = await writer.write([entry], wait=True)  # raises where its row stays locked
            self._announcer.add(outcome.news)
            refused |= outcome.refused
            if outcome.missed:
                raise faults.in_use(self._conninfo, 1)
            if not outcome.refused:
                yield [entry]
        if refused:
            raise self._of_refused(table, refused)

    def _of_refused(self, table: Table, refused: Mapping[str, str]) -> StoreError:
        if table.not_filled:
            return faults.no_new_rows(self._conninfo, table.not_filled, refused.keys())
        problem = next(iter(refused.values()))
        told = problem if problem == SPARED else f"geo_cache takes no row as it is written ({problem})"
        return faults.not_written(self._conninfo, told, refused.keys())

    async def delete_stale(
        self,
        before: int,
        *,
        keep: Callable[[str], bool],
        max_rows: int = 0,
        time_left: Callable[[], float] = endless,  # noqa: ARG002 - as above
    ) -> AsyncGenerator[Deleted, None]:
        async with aclosing(self._delete_stale(before, keep, max_rows)) as slices, self._announced():
            async for deleted in slices:
                self._announcer.add_keys(deleted.keys)
                yield deleted
                await self._announcer.send_if_due()

    async def _delete_stale(
        self, before: int, keep: Callable[[str], bool], max_rows: int
    ) -> AsyncGenerator[Deleted, None]:
        table = self._aged(await self._to_write("geo_cache"))
        limit = before * MICROSECONDS
        async with aclosing(self._delete_before(table, limit, lambda label: not keep(label))) as slices:
            async for deleted in slices:
                yield deleted
        if max_rows:
            async with aclosing(self._delete_above(max_rows, table, limit, keep)) as slices:
                async for deleted in slices:
                    yield deleted

    async def _delete_before(
        self, table: Table, limit: int, goes: Callable[[str], bool]
    ) -> AsyncGenerator[Deleted, None]:
        """Delete the rows earlier than ``limit``, in microseconds, for whose labels ``goes`` is true."""
        rest: Sequence[Blocks] | None = None
        if SureDeletion.is_possible(table, limit) and not self._reader.has_any_bytes:
            sure = SureDeletion(self._reader, self._writer, table, limit, self._max_lock_time)
            async with aclosing(sure.walk(goes)) as slices:
                async for deleted in slices:
                    yield deleted
            rest = sure.rest
        due = due_rows.pages(self._reader, table, limit, rest)
        slices = sweep(due, self._removal(table), goes=lambda row: goes(row.label), clock=self._clock)
        async with aclosing(slices):
            async for deleted in slices:
                yield deleted

    async def _delete_above(
        self, max_rows: int, table: Table, limit: int, keep: Callable[[str], bool]
    ) -> AsyncGenerator[Deleted, None]:
        """Delete the rows above ``max_rows``. For each row that the database keeps, another one goes."""
        stays: set[object] = set()
        while await self._count(table) > max_rows:
            known = len(stays)
            ages = walking.aged(self._reader, table)
            choice, upto = await overflow(ages, max_rows, limit, keep=keep, stays=stays)
            above: Callable[[Due], bool] = functools.partial(
                is_above, choice=choice, limit=limit, keep=keep, stays=stays
            )
            due = due_rows.pages(self._reader, table, upto)
            slices = sweep(due, self._removal(table, stays), goes=above, clock=self._clock)
            async with aclosing(slices):
                async for deleted in slices:
                    if deleted.keys or deleted.refused:
                        yield deleted
            if len(stays) == known:
                return

    async def count_stale(self, before: int, *, keep: Callable[[str], bool], max_rows: int = 0) -> Census:
        table = self._aged(await self._table("geo_cache"))
        limit = before * MICROSECONDS
        due = due_rows.pages(self._reader, table, limit)
        found = await census(due, goes=lambda row: not keep(row.label))
        if not max_rows:
            return found
        choice, _ = await overflow(walking.aged(self._reader, table), max_rows, limit, keep=keep)
        return found._replace(matching=found.matching + choice.going)

    async def delete_expired(
        self,
        now: int,
        *,
        time_left: Callable[[], float] = endless,  # noqa: ARG002 - as above
    ) -> AsyncGenerator[Deleted, None]:
        table = await self._to_write("sessions")
        async with aclosing(self._delete_before(table, now * MICROSECONDS + 1, always)) as slices:
            async for deleted in slices:
                yield deleted

    async def count_expired(self, now: int) -> Census:
        table = await self._table("sessions")
        return await census(due_rows.pages(self._reader, table, now * MICROSECONDS + 1), goes=always)

    async def tidy(
        self,
        *,
        time_left: Callable[[], float] = endless,  # noqa: ARG002 - as above
    ) -> Mapping[str, int]:
        """Do nothing: statistics and free pages are autovacuum's work."""
        return {"free_pages": 0, "page_size": 0, "pages_given_back": 0}

    async def shorten_wal(self) -> None:
        """Do nothing: the server keeps its log by itself."""

    async def empty_wal(self) -> float:
        return NO_LOG

    async def sizes(self) -> Sizes:
        """Return the size of the database on the server; None where the server does not answer."""
        try:
            ((size,),) = await self._reader.run(queries.SIZE, again=True)
        except StoreError:
            return Sizes()
        return Sizes(size)

    async def free_bytes(self) -> int:
        """Return 0: what vacuum has freed within the tables is told by extensions alone."""
        return 0

    def _removal(self, table: Table, stays: set[object] | None = None) -> Removal:
        return Removal(self._writer, table, self._max_lock_time, self._held_back[table.name], stays)

    async def _count(self, table: Table) -> int:
        ((count,),) = await self._reader.run(table.sql(queries.COUNT), again=True)
        return int(count)

    async def _table(self, name: str) -> Table:
        """Return the description of a table; raises SchemaError where bangeod can't work with it."""
        if name not in self._tables:
            await self._look()
        table = self._tables[name]
        if isinstance(table, UnfitTableError):
            raise faults.schema(self._conninfo, str(table)) from None
        return table

    async def _to_write(self, name: str) -> Table:
        """Return the description of a table, once it is sure that both connections lead to the same database."""
        table = await self._table(name)
        identity = await self._writer.identity()
        if self._known is None or identity != self._known[0]:
            raise faults.another(self._conninfo)
        return table

    def _aged(self, table: Table) -> Table:
        """Return the description of geo_cache, if it has a time by which rows are stale; raises SchemaError."""
        try:
            _ = table.age
        except UnfitTableError as unfit:
            raise faults.schema(self._conninfo, str(unfit)) from None
        return table


async def _planned(
    writer: GeoWriter, entries: Sequence[DirtyEntry]
) -> AsyncGenerator[tuple[Sequence[DirtyEntry], Sequence[Change]], None]:
    """Yield the entries by the slice, with what is planned for them."""
    start = 0
    while start < len(entries):
        chunk = entries[start : start + writer.size]
        start += len(chunk)
        yield chunk, await writer.plan(chunk)
