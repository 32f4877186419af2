"""Writing entries: changes are planned from rows read before, and made only to rows that are still as they were read.

Planned in Python, so that one set of rules (row_values.py) holds for anything that a column may contain. A statement
changes the same columns of many rows, each with values of its own. It passes over rows that another transaction has
locked or changed: those are read and planned again, and what is locked then is waited for at the very end.
"""

import functools
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from bangeod.addresses import read_address
from bangeod.errors import StoreRefusedError
from bangeod.model import DirtyEntry
from bangeod.store import row_values, times
from bangeod.store.postgres import faults, queries, text_times
from bangeod.store.postgres.columns import GEO_COLUMNS, Table, form_of
from bangeod.store.postgres.odd_keys import OddKeys
from bangeod.store.postgres.session import Session
from bangeod.store.postgres.slicing import slice_size
from bangeod.store.time_forms import TimeForms

LARGEST: Final = 500  # entries that are planned at once: some milliseconds of the event loop's
TRIES: Final = 3  # with what is locked passed over
TIMES: Final = frozenset(TimeForms._fields)
NOT_FILLED: Final = "a column can't be filled"
SPARED: Final = "a trigger or a policy of the database's keeps rows of geo_cache as they are, without an error"


class HeldRow(NamedTuple):
    """A row as it was read, with all that decides how it is changed."""

    key: tuple[str, ...]
    place: str  # its ctid, which with ``version`` says that it is still the same
    version: str  # its xmin
    columns: tuple[object, ...]  # as row_values.change takes them
    unseen: bool
    micros: int | None

    def outdated(self, last_seen: int) -> bool:
        """Say whether the address was seen after the row's time; a time that can't be read is never outdated."""
        return self.unseen or (self.micros is not None and self.micros < last_seen * times.MICROSECONDS)


class Change(NamedTuple):
    """What is to be written into one row: a new one where ``row`` is None."""

    entry: DirtyEntry
    row: HeldRow | None
    values: Mapping[str, object]


@dataclass
class Outcome:
    """What became of the entries of a slice, by address; the others are written."""

    refused: dict[str, str] = field(default_factory=dict)  # why
    missed: set[str] = field(default_factory=set)  # another transaction has the row, or has changed it since
    news: list[str] = field(default_factory=list)  # of these a row says something new, and not a time alone
    took: float = 0.0  # the seconds of the longest statement

    @property
    def unwritten(self) -> set[str]:
        return {*self.refused, *self.missed}


class GeoWriter:
    """Writes entries into geo_cache for as long as one call of the store's ``write`` lasts."""

    def __init__(self, reader: Session, writer: Session, table: Table, keys: OddKeys, longest: float) -> None:
        self._reader = reader
        self._session = writer
        self._table = table
        self._keys = keys
        self._size = slice_size(longest, largest=LARGEST)
        self._forms: TimeForms | None = None

    @property
    def size(self) -> int:
        return self._size.size

    async def write(
        self, entries: Sequence[DirtyEntry], planned: Sequence[Change] | None = None, *, wait: bool = False
    ) -> Outcome:
        """Write a slice: each entry under every key that its address has in the table, else under the address itself.

        What was ``planned`` for it may be given. With ``wait``, rows that are locked are waited for; raises
        StoreLockedError where that takes too long.
        """
        left = {entry.ip: entry for entry in entries}
        refused: dict[str, str] = {}
        news: list[str] = []
        changes: Sequence[Change] = ()
        for _ in range(TRIES):
            changes = await self.plan(list(left.values())) if planned is None else planned
            planned = None
            if self._table.not_filled:
                refused |= {change.entry.ip: NOT_FILLED for change in changes if change.row is None}
                changes = [change for change in changes if change.row is not None]
            if not changes:
                return Outcome(refused, news=news)
            outcome = await self._carry_out(changes, wait=wait)
            self._size.measured(len(left), outcome.took)
            news += _news(changes, outcome.unwritten)
            refused |= outcome.refused
            left = {ip: entry for ip, entry in left.items() if ip in outcome.missed and ip not in outcome.refused}
            if not left:
                return Outcome(refused, news=news)
        # Nothing was in the way of a new row, and still there is none.
        refused |= {change.entry.ip: SPARED for change in changes if change.row is None and change.entry.ip in left}
        return Outcome(refused, left.keys() - refused.keys(), news)

    async def plan(self, entries: Sequence[DirtyEntry]) -> Sequence[Change]:
        """Read the rows of these addresses and plan their changes."""
        forms = await self._times()
        rows = await self._held([entry.ip for entry in entries])
        cached_at, last_seen = (functools.cache(form.write) for form in forms)
        changes: list[Change] = []
        for entry in entries:
            stamps = {"cached_at": cached_at(entry.resolved_at), "last_seen": last_seen(entry.last_seen)}
            changes += [
                Change(entry, row, values)
                for row in rows.get(entry.ip, ())
                if (values := self._changed(row, entry, stamps))
            ]
            if entry.ip not in rows:
                changes.append(Change(entry, None, {"ip": entry.ip, **entry.geo._asdict(), **stamps}))
        return changes

    def _changed(self, row: HeldRow, entry: DirtyEntry, stamps: Mapping[str, object]) -> dict[str, object]:
        change = row_values.change(row.columns, entry)
        values: dict[str, object] = dict(change.columns)
        if change.resolved:
            values["cached_at"] = stamps["cached_at"]
        if row.outdated(entry.last_seen):
            values["last_seen"] = stamps["last_seen"]
        return {name: values[name] for name in self._table.changeable if name in values}

    async def _held(self, ips: Sequence[str]) -> Mapping[str, Sequence[HeldRow]]:
        table = self._table
        seen = table.columns.get("last_seen")
        statement = table.sql(
            queries.HELD,
            unseen="false" if seen is None else f"{seen.sql} IS NULL",
            seen_exactly=table.seen("last_seen"),
        )
        texts = list(self._keys.texts(table, ips))
        wanted = set(ips)
        rows: defaultdict[str, list[HeldRow]] = defaultdict(list)
        width, read = len(GEO_COLUMNS), table.micros("last_seen")
        for key, place, version, unseen, time, *values in await self._reader.run(statement, {"ips": texts}, again=True):
            ip = key if key in wanted else read_address(key)[1]
            rows[ip].append(HeldRow(tuple(values[width:]), place, version, tuple(values[:width]), unseen, read(time)))
        return rows

    async def _times(self) -> TimeForms:
        """Return the forms in which to write times: looked up once a write, the columns' types aside."""
        if self._forms is None:
            table = self._table
            found = {name: table.written[name] for name in TimeForms._fields if name in table.written}
            self._forms = TimeForms(
                **{
                    name: form_of(column) or await text_times.form_of(self._reader, table, column)
                    for name, column in found.items()
                }
            )
        return self._forms

    async def _carry_out(self, changes: Sequence[Change], *, wait: bool) -> Outcome:
        outcome = Outcome()
        inserted = [change for change in changes if change.row is None]
        by_columns: defaultdict[tuple[str, ...], list[Change]] = defaultdict(list)
        for change in changes:
            if change.row is not None:
                by_columns[tuple(change.values)].append(change)
        if inserted:
            await self._insert(inserted, outcome)
        for columns, changed in by_columns.items():
            await self._update(columns, changed, outcome, wait=wait)
        return outcome

    async def _insert(self, changes: Sequence[Change], outcome: Outcome) -> None:
        table = self._table
        values = {name: _texts(changes, name) for name in table.written}
        try:
            rows = await self._session.run(table.insert(), values)
        except StoreRefusedError as error:
            for half in _halves(changes, error, outcome):
                await self._insert(half, outcome)
            return
        if rows:
            outcome.took = max(outcome.took, rows[-1][1])
        made = {read_address(key)[1] for key, _ in rows}
        outcome.missed |= {change.entry.ip for change in changes} - made

    async def _update(self, columns: Sequence[str], changes: Sequence[Change], outcome: Outcome, *, wait: bool) -> None:
        table = self._table
        rows = [change.row for change in changes if change.row is not None]
        values: dict[str, object] = {name: [row.key[i] for row in rows] for i, name in enumerate(table.key_names)}
        values |= {"place": [row.place for row in rows], "version": [row.version for row in rows]}
        values |= {name: _texts(changes, name) for name in columns}
        try:
            found = await self._session.run(table.update(columns, wait=wait), values)
        except StoreRefusedError as error:
            for half in _halves(changes, error, outcome):
                await self._update(columns, half, outcome, wait=wait)
            return
        ((locked, changed, took),) = found
        outcome.took = max(outcome.took, took)
        tried, done = set(locked or ()), set(changed or ())
        for number, change in enumerate(changes, 1):
            if number not in tried:
                outcome.missed.add(change.entry.ip)
            elif number not in done:
                outcome.refused[change.entry.ip] = SPARED


def _news(changes: Iterable[Change], unwritten: Collection[str]) -> list[str]:
    """Return the addresses that have a country now, by a change that was made to more than the times of a row."""
    return [
        change.entry.ip
        for change in changes
        if (change.row is None or not TIMES.issuperset(change.values))
        and change.entry.geo.country_code is not None
        and change.entry.ip not in unwritten
    ]


def _halves(changes: Sequence[Change], error: StoreRefusedError, outcome: Outcome) -> Iterable[Sequence[Change]]:
    """Return the halves of what was refused as a whole; of a single change note why."""
    if len(changes) == 1:
        outcome.refused[changes[0].entry.ip] = faults.reason(error.__cause__)
        return ()
    middle = len(changes) // 2
    return changes[:middle], changes[middle:]


def _texts(changes: Iterable[Change], name: str) -> list[str | None]:
    values: Iterable[Any] = (change.values[name] for change in changes)
    return [None if value is None else str(value) for value in values]
