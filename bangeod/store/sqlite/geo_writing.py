"""Writing entries: the changes are planned without the lock, and made only to rows that are still as they were read.

Planned in Python, so that one set of rules (row_values.py) holds for anything that a column may contain. Under the lock
a few statements run, each over all rows of a slice. If the web app has changed one of the rows, the slice is planned
again.
"""

import contextlib
import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from bangeod.addresses import read_address
from bangeod.model import DirtyEntry
from bangeod.store import row_values, times
from bangeod.store.sqlite import queries
from bangeod.store.sqlite.columns import GEO_COLUMNS, UPSERT_COLUMNS, Table
from bangeod.store.sqlite.connection import SharedFile
from bangeod.store.sqlite.geo_rows import spelled
from bangeod.store.sqlite.lenient_text import leniently
from bangeod.store.sqlite.odd_keys import OddKeys
from bangeod.store.sqlite.slicing import SliceWriter
from bangeod.store.time_forms import TimeForms

if TYPE_CHECKING:
    from sqlite3 import Connection

OPTIMISTIC: Final = 3  # tries with rows read before taking the lock; after these they are read under it

Values = list[object]  # in the order of UPSERT_COLUMNS, then what Table.update compares


class ChangedError(Exception):
    """A row is no longer as it was read, or a row has appeared where there was none."""


class HeldRow(NamedTuple):
    """A row as it was read, with all that decides how it is changed; see Table.held."""

    key: str
    place: tuple[object, ...]
    unseen: bool
    micros: int | None
    held: str

    def outdated(self, last_seen: int) -> bool:
        """Say whether the address was seen after the row's time; a time that can't be read is never outdated."""
        return self.unseen or (self.micros is not None and self.micros < last_seen * times.MICROSECONDS)


@dataclass
class Plan:
    """What is to be written for a slice of entries."""

    table: Table
    inserted: list[Values] = field(default_factory=list)
    updated: defaultdict[tuple[str, ...], list[Values]] = field(default_factory=lambda: defaultdict(list))
    refused: list[str] = field(default_factory=list)  # addresses that need a new row, which the table does not take
    spared: list[str] = field(default_factory=list)  # addresses whose writes a trigger ignores

    def insert(self, entry: DirtyEntry, stamps: Sequence[object]) -> None:
        """Plan a new row for an entry; where the table takes none, note its address in ``refused``."""
        if self.table.takes_new(country=entry.geo.country_code is not None):
            self.inserted.append([entry.ip, *entry.geo, *stamps])
        else:
            self.refused.append(entry.ip)

    def update(self, row: HeldRow, entry: DirtyEntry, stamps: Sequence[object]) -> None:
        """Plan the changes of a row."""
        change = row_values.change(row.place, entry)
        values: dict[str, object] = dict(change.columns)
        cached_at, last_seen = stamps
        if change.resolved:
            values["cached_at"] = cached_at
        if row.outdated(entry.last_seen):
            values["last_seen"] = last_seen
        columns = tuple(name for name in self.table.changeable if name in values)
        if columns:
            self.updated[columns].append([row.key, *(values.get(name) for name in UPSERT_COLUMNS[1:]), row.held])

    def addresses(self) -> list[str]:
        """Return the addresses of the rows to be inserted or changed."""
        rows = [*self.inserted, *(row for rows in self.updated.values() for row in rows)]
        return [read_address(row[0])[1] for row in rows]

    def statements(self) -> list[tuple[str, str, int]]:
        """Return each statement with its parameter and the number of rows that it has to change."""
        of_each = [(self.table.update(columns), rows) for columns, rows in self.updated.items()]
        if self.inserted:
            of_each.append((self.table.insert(), self.inserted))
        return [(statement, msgspec.json.encode(rows).decode(), len(rows)) for statement, rows in of_each]


async def write_slice(
    file: SharedFile,
    writer: SliceWriter,
    table: Table,
    entries: Sequence[DirtyEntry],
    odd: OddKeys,
    *,
    forms: TimeForms,
) -> Plan:
    """Commit one slice: each entry under every key that its address has in the table, else under the address itself.

    Returns the plan; its ``refused`` and ``spared`` are the addresses that were not written.
    """
    ips = [entry.ip for entry in entries]

    def read(connection: "Connection") -> Plan | None:
        known = odd.catch_up(connection, table, ips)
        return plan(connection, table, entries, odd.of(ips), forms=forms) if known else None

    for _ in range(OPTIMISTIC):
        while (planned := await file.read(read)) is None:
            pass
        with contextlib.suppress(ChangedError):
            await writer.write(_changes_all(planned.statements()), rows=len(entries))
            return planned
    at_once = functools.partial(_at_once, table=table, entries=entries, odd=odd, forms=forms)
    return await writer.write(at_once, rows=len(entries))


def plan(
    connection: "Connection", table: Table, entries: Sequence[DirtyEntry], odd: Sequence[str], *, forms: TimeForms
) -> Plan:
    """Read the rows of these addresses and plan their changes."""
    rows = _held_rows(connection, table, [entry.ip for entry in entries], odd)
    planned = Plan(table)
    cached_at, last_seen = (functools.cache(form.write) for form in forms)
    for entry in entries:
        stamps = (cached_at(entry.resolved_at), last_seen(entry.last_seen))
        for row in rows.get(entry.ip, ()):
            planned.update(row, entry, stamps)
        if entry.ip not in rows:
            planned.insert(entry, stamps)
    return planned


def _held_rows(
    connection: "Connection", table: Table, ips: Sequence[str], odd: Sequence[str]
) -> Mapping[str, Sequence[HeldRow]]:
    wanted = set(ips)
    rows: dict[str, dict[str, HeldRow]] = {}  # by key: in a case-insensitive column two spellings find one row
    width = len(GEO_COLUMNS)
    for key, *values in connection.execute(table.held(), {"keys": spelled(connection, ips, odd)}):
        ip = key if key in wanted else read_address(key)[1]
        rows.setdefault(ip, {})[key] = HeldRow(key, tuple(values[:width]), *values[width:])
    return {ip: list(of_one.values()) for ip, of_one in rows.items()}


def _changes_all(statements: Sequence[tuple[str, str, int]]) -> "functools.partial[None]":
    return functools.partial(_execute, statements=statements, exactly=True)


def _execute(connection: "Connection", statements: Sequence[tuple[str, str, int]], *, exactly: bool) -> None:
    for statement, rows, count in statements:
        connection.execute(statement, {"rows": rows})
        if exactly and connection.execute(queries.CHANGES).fetchone()[0] != count:
            raise ChangedError


def _at_once(
    connection: "Connection", table: Table, entries: Sequence[DirtyEntry], odd: OddKeys, forms: TimeForms
) -> Plan:
    """Read and write under the lock. If rows still differ from the plan then, a trigger of the web app keeps them."""
    keys = odd.of(entry.ip for entry in entries)
    planned = leniently(connection, lambda opened: plan(opened, table, entries, keys, forms=forms))
    try:
        _execute(connection, planned.statements(), exactly=True)
    except ChangedError:
        _execute(connection, planned.statements(), exactly=False)
        rest = leniently(connection, lambda opened: plan(opened, table, entries, keys, forms=forms))
        planned.spared += rest.addresses()
    return planned
