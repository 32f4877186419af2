"""A table on the server, as rows of the file are compared with it and written to it.

What is written is decided from rows read before, and written only to those that are still as they were; rows are
locked in the order of their keys, by statements that are transactions of their own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from bangeod.errors import SchemaError, StoreReadOnlyError, StoreRefusedError
from bangeod.store import time_forms
from bangeod.store.migration.matching import Details, Matched, Numbering, UnmatchedError, match, times_in_text
from bangeod.store.migration.values import CopiedColumn, Fitted
from bangeod.store.postgres import catalogue, columns, faults, inspection, queries, text_times
from bangeod.store.postgres.arrays import array
from bangeod.store.postgres.columns import Table, UnfitTableError
from bangeod.store.postgres.connection import Conninfo
from bangeod.store.postgres.session import Session

if TYPE_CHECKING:
    from bangeod.clock import Clock

NEEDED: Final = {"geo_cache": ("SELECT", "INSERT", "UPDATE"), "sessions": ("SELECT", "INSERT")}
_FIT: Final = {"geo_cache": columns.geo_table, "sessions": columns.sessions_table}
_FEW_NUMBERS: Final = 1_000  # are skipped one by one, which no other session can undo


@dataclass(slots=True)
class FittedRow:
    """A row of the file as it goes to the server; the columns are in the order of ``Matched.columns``."""

    label: str  # how it is named
    values: Sequence[Fitted]
    told: list[str | None]  # by which it is compared; complete once it was looked up

    @property
    def is_cut(self) -> bool:
        return any(value.is_cut for value in self.values)


@dataclass(frozen=True, slots=True)
class HeldRow:
    """The server's row of the same key."""

    place: str
    version: str
    key: Sequence[str]
    told: Sequence[str | None]


@dataclass(frozen=True, slots=True)
class Found:
    """A row of the file with the server's, if there is one, or why the server can't take its values."""

    row: FittedRow
    held: HeldRow | None = None
    refused: str | None = None


class Server:
    """The server that rows are copied to. Raises only StoreError. ``lock_timeout`` is in seconds."""

    def __init__(self, conninfo: Conninfo, clock: "Clock", *, schema: str | None, lock_timeout: float) -> None:
        self.conninfo = conninfo
        self.schema = schema
        self.session = Session(conninfo, clock, schema=schema, lock_timeout=lock_timeout)

    async def close(self) -> None:
        await self.session.close()

    async def check(self) -> None:
        """Raise StoreError where the role may not do what the copy needs, or would not see all rows."""
        async with inspection.connected(self.conninfo, self.schema) as connection:
            look = await inspection.look(connection)
        for name, needed in NEEDED.items():
            seen = look.found(name)
            if seen is None:
                where = next((table.schema for table in look.elsewhere(name)), None)
                advice = "let the web app's own migration make it, or `bangeod init --database URL`"
                if where is not None:
                    advice = f"there is one in schema {where}: name that with --schema {where}"
                raise SchemaError(self.conninfo.shown, f"there is no table {name}", advice)
            lacking = [privilege for privilege in needed if privilege not in seen.granted]
            if lacking:
                problem = f"role {look.role} lacks {', '.join(lacking)} on table {seen.schema}.{name}"
                advice = f"GRANT {', '.join(lacking)} ON {seen.schema}.{name} TO {look.role}, or name another role"
                raise StoreReadOnlyError(self.conninfo.shown, problem, advice)
            if seen.hides_rows:
                problem = f"row-level security of table {seen.schema}.{name} hides rows from role {look.role}"
                advice = (
                    "copy as the tables' owner, or as a role with BYPASSRLS: rows that are hidden can't be compared"
                )
                raise SchemaError(self.conninfo.shown, problem, advice)

    async def table(self, name: str, source: Sequence[str]) -> "TargetTable":
        """Look at a table, to which rows with these columns are to be copied. Raises SchemaError."""
        found = await catalogue.relation(self.session, name)
        try:
            table = _FIT[name](found, self.schema)
            details = await self._details(table, source)
            matched = match(source, table, details)
        except UnfitTableError as unfit:
            raise faults.schema(self.conninfo, str(unfit)) from None
        except UnmatchedError as unmatched:
            raise SchemaError(self.conninfo.shown, unmatched.problem, unmatched.advice) from None
        return TargetTable(self, table, matched, details.numbered)

    async def _details(self, table: Table, source: Sequence[str]) -> Details:
        found = await self.session.run(queries.COPIED_COLUMNS, {"table": table.oid}, again=True)
        always = await self.session.run(queries.COPIED_IDENTITY, {"table": table.oid}, again=True)
        return Details(
            types={row[0]: row[1] for row in found},
            numbered={row[0]: Numbering(*row[2:]) for row in found if row[2] is not None},
            always_numbered=[name for (name,) in always],
            forms={
                name: time_forms.of(await text_times.newest_of(self.session, table, table.columns[name]))
                for name in times_in_text(source, table.columns)
            },
        )


class TargetTable:
    """One table. The statements are made once, for the columns that are copied."""

    def __init__(self, server: Server, table: Table, matched: Matched, numbering: Mapping[str, Numbering]) -> None:
        self.server = server
        self.table = table
        self.columns = matched.columns
        self.identity = matched.identity
        self.notes = matched.notes
        self._numbering = numbering
        self._session = server.session
        self._told = [number for number, column in enumerate(self.columns) if column.is_told_by_server]

    def fit(self, values: Sequence[object]) -> FittedRow:
        """Fit a row of the file, in the order of ``columns``. Raises UnfitValueError."""
        fitted = [column.fit(value) for column, value in zip(self.columns, values, strict=True)]
        label = "" if self.is_secret else fitted[self.identity[0]].sent or ""
        return FittedRow(label, fitted, [value.told for value in fitted])

    @property
    def is_secret(self) -> bool:
        """Say whether what a row is recognised by must not be shown."""
        return self.table.name == "sessions"

    def is_numbered(self, column: CopiedColumn) -> bool:
        """Say whether a sequence numbers a column where no value is given."""
        return column.name in self._numbering

    def key(self, row: FittedRow) -> tuple[str, ...]:
        """Return what a row is recognised by, as text."""
        return tuple(row.values[number].sent or "" for number in self.identity)

    async def count(self) -> int:
        ((count,),) = await self._session.run(self.table.sql(queries.COUNT), again=True)
        return int(count)

    async def find(self, rows: Sequence[FittedRow]) -> list[Found]:
        """Look up the server's rows of the same keys."""
        if not rows:
            return []
        needed = sorted({*self.identity, *self._told})
        values = {f"c{number}": [row.values[number].sent for row in rows] for number in needed}
        try:
            found = await self._session.run(self._find, values, again=True)
        except StoreRefusedError as error:  # a value that the server can't read as one of its column's type
            if len(rows) == 1:
                return [Found(rows[0], refused=faults.reason(error.__cause__))]
            middle = len(rows) // 2
            return [*await self.find(rows[:middle]), *await self.find(rows[middle:])]
        held: dict[int, HeldRow | None] = {}
        width, known = len(self._told) or 1, len(self.table.key)
        for number, *values_of_row in found:
            row = rows[number - 1]
            for column, told in zip(self._told, values_of_row[: len(self._told)], strict=True):
                row.told[column] = told
            held[number] = self._held(values_of_row[width:], known)
        return [Found(row, held.get(number)) for number, row in enumerate(rows, 1)]

    def _held(self, found: Sequence[Any], known: int) -> HeldRow | None:
        place, version, *rest = found
        if place is None:
            return None
        told = tuple([column.of_server(text) for column, text in zip(self.columns, rest[known:], strict=True)])
        return HeldRow(place, version, rest[:known], told)

    @cached_property
    def _find(self) -> str:
        needed = sorted({*self.identity, *self._told})
        told = [self.columns[number].read(self.columns[number].written(f"i.c{number}")) for number in self._told]
        return self.table.sql(
            queries.COPIED_HELD,
            told=", ".join(told) or "NULL",
            items=", ".join(column.read() for column in self.columns),
            arrays=_arrays(f"c{number}" for number in needed),
            names=", ".join(f"c{number}" for number in needed),
            same=" AND ".join(self._same(number) for number in self.identity),
        )

    def _same(self, number: int) -> str:
        column = self.columns[number]
        return f"{column.column.sql} = {column.written(f'i.c{number}')}"

    async def insert(self, rows: Sequence[FittedRow]) -> int:
        """Insert rows whose keys are not there; return how many were. Raises StoreRefusedError, with none written."""
        return len(await self._session.run(self.insertion, self._arrays_of(rows)))

    @cached_property
    def insertion(self) -> str:
        numbers = range(len(self.columns))
        return self.table.sql(
            queries.COPIED_INSERT,
            columns=", ".join(column.column.quoted for column in self.columns),
            values=", ".join(column.written(f"i.c{number}") for number, column in enumerate(self.columns)),
            arrays=_arrays(f"c{number}" for number in numbers),
            names=", ".join(f"c{number}" for number in numbers),
            order=", ".join(self.columns[number].written(f"i.c{number}") for number in self.identity),
            recognised=", ".join(self.columns[number].read() for number in self.identity),
        )

    def insertion_values(self, rows: Sequence[FittedRow]) -> dict[str, str]:
        """Return the parameters of ``insertion`` as they go to the server."""
        return {name: array(values) for name, values in self._arrays_of(rows).items()}

    def _arrays_of(self, rows: Sequence[FittedRow]) -> dict[str, list[str | None]]:
        return {f"c{number}": [row.values[number].sent for row in rows] for number in range(len(self.columns))}

    async def update(self, taken: Sequence[int], found: Sequence[Found], *, wait: bool) -> tuple[set[int], set[int]]:
        """Take columns over into rows still as they were; return the places of those locked, and of those changed.

        Raises StoreRefusedError, with none written; StoreLockedError where one was waited for in vain.
        """
        names = (*self.table.key_names, "place", "version", *(f"c{number}" for number in taken))
        held = [(each.row, each.held) for each in found if each.held is not None]
        values: dict[str, object] = {
            name: [there.key[place] for _, there in held] for place, name in enumerate(self.table.key_names)
        }
        values |= {"place": [there.place for _, there in held], "version": [there.version for _, there in held]}
        values |= {f"c{number}": [row.values[number].sent for row, _ in held] for number in taken}
        statement = self.table.sql(
            queries.UPDATE,
            arrays=_arrays(names),
            names=", ".join(names),
            held=self.table.names["held_keys"] if self.table.is_partitioned else "t.ctid AS h",
            is_same=queries.SAME_VERSION,
            is_held=self.table.names["has_held_keys"] if self.table.is_partitioned else "t.ctid = i.h",
            sets=", ".join(self._set(number) for number in taken),
            wait="" if wait else queries.SKIP_LOCKED,
        )
        ((locked, changed, _),) = await self._session.run(statement, values)
        return {number - 1 for number in locked or ()}, {number - 1 for number in changed or ()}

    def _set(self, number: int) -> str:
        column = self.columns[number]
        return f"{column.column.quoted} = {column.written(f'i.c{number}')}"

    async def numbered_on(self, highest: Mapping[str, int | None]) -> list[str]:
        """Let the sequences of copied columns go on after these numbers; return notes about those it may not set."""
        notes = []
        for column in self.columns:
            numbering, number = self._numbering.get(column.name), highest.get(column.name)
            if numbering is None or number is None:
                continue
            if not numbering.may_set:
                notes.append(
                    f"sequence {numbering.name} has to go on after {number}, and the role may not set it: "
                    f"GRANT USAGE, UPDATE ON SEQUENCE {numbering.name} to it and run this again, or let its owner run "
                    f"setval('{numbering.name}', {number}) in SQL, if it is not further already"
                )
                continue
            await self._number_on(numbering, number)
        return notes

    async def _number_on(self, numbering: Numbering, number: int) -> None:
        of_sequence = {"sequence": numbering.oid}
        ((last, start, step, highest),) = await self._session.run(queries.LAST_NUMBER, of_sequence, again=True)
        gap = number - (start - step if last is None else last)
        if step <= 0 or gap <= 0 or number > highest:
            return
        if gap <= _FEW_NUMBERS * step:
            await self._session.run(queries.NEXT_NUMBERS, {**of_sequence, "count": -(-gap // step)})
        else:
            await self._session.run(queries.SET_NUMBER, {**of_sequence, "number": number})


def _arrays(names: Iterable[str]) -> str:
    return ", ".join(f"CAST(%({name})s AS text[])" for name in names)
