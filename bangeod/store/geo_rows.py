"""Rows of geo_cache: read into the model, looked up by address, written from entries."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from bangeod.geo.addresses import Kind, spellings
from bangeod.geo.addresses import read as read_address
from bangeod.geo.model import Entry, Geo, Row
from bangeod.store import queries
from bangeod.store.columns import HELD_COLUMNS, UPSERT_COLUMNS, Table
from bangeod.store.connection import SharedFile
from bangeod.store.slices import SliceWriter
from bangeod.store.time_forms import TimeForms

if TYPE_CHECKING:
    from sqlite3 import Connection


class OddKeys:
    """Keys under which rows stand that ``spellings`` does not think of, learned from rows that were read.

    IPv6 can be written in too many ways to look for all of them.
    """

    def __init__(self) -> None:
        self._keys: dict[str, dict[str, None]] = {}

    def note(self, rows: Iterable[Row]) -> None:
        """Remember the odd ones among the keys of rows."""
        for row in rows:
            if ":" in row.key:
                kind, ip = read_address(row.key)
                if kind is Kind.GLOBAL and row.key not in spellings(ip):
                    self._keys.setdefault(ip, {})[row.key] = None

    def of(self, ips: Iterable[str]) -> list[str]:
        """Return the odd keys of canonical addresses."""
        return [key for ip in ips for key in self._keys.get(ip, ())] if self._keys else []


def read_page(connection: "Connection", statement: str, parameters: Mapping[str, object]) -> list[Row]:
    """Read rows: the key as text whatever it is; an empty text is nothing known."""
    return [
        Row(ip if type(ip) is str else str(ip), Geo(code or None, name or None, asn or None, org or None), seen)
        for ip, code, name, asn, org, seen in connection.execute(statement, parameters)
    ]


def rows_by_address(connection: "Connection", table: Table, ips: Sequence[str], odd: Sequence[str]) -> dict[str, Row]:
    """Find rows by canonical address, also under ``odd`` keys; of two rows of one address the one with a country."""
    found: dict[str, Row] = {}
    for row in read_page(connection, table.sql(queries.GEO_FIND), {"keys": _spelled(connection, ips, odd)}):
        _, ip = read_address(row.key)
        known = found.get(ip)
        if known is None or known.geo.country_code is None:
            found[ip] = row
    return found


async def write_slice(
    file: SharedFile,
    writer: SliceWriter,
    table: Table,
    entries: Sequence[Entry],
    odd: Sequence[str],
    *,
    forms: TimeForms,
) -> None:
    """Commit one slice: each entry under every key that its address has in the table, else under its own."""
    keys = await file.read(lambda connection: _keys(connection, [entry.ip for entry in entries], odd))
    rows = _rows(entries, keys, forms)
    replacing = [row for row in rows if len(row) > len(UPSERT_COLUMNS)]
    # In this order: what is replaced must not have been filled in before.
    statements = [(table.replace(), replacing)] if replacing else []
    statements.append((table.upsert(), rows))
    encoded = [(statement, {"rows": msgspec.json.encode(values).decode()}) for statement, values in statements]

    def work(connection: "Connection") -> None:
        for statement, parameters in encoded:
            connection.execute(statement, parameters)

    await writer.write(work, rows=len(entries))


def _rows(
    entries: Sequence[Entry], keys: Mapping[str, Sequence[str]], forms: TimeForms
) -> list[list[str | float | None]]:
    """Return what is to be written under each key, as Table.upsert and Table.replace want it."""
    cached_at, last_seen = (functools.cache(form.write) for form in forms)
    rows: list[list[str | float | None]] = []
    for entry in entries:
        values = [*entry.geo, cached_at(entry.resolved_at), last_seen(entry.last_seen)]
        held = entry.replaces
        if held is not None and entry.geo.country_code is not None:
            values += [getattr(held, name) for name in HELD_COLUMNS]
        rows += [[key, *values] for key in keys.get(entry.ip, (entry.ip,))]
    return rows


def _keys(connection: "Connection", ips: Sequence[str], odd: Sequence[str]) -> dict[str, list[str]]:
    """Return the keys that rows of these addresses have, by canonical address."""
    wanted = set(ips)
    keys: dict[str, list[str]] = {}
    for (key,) in connection.execute(queries.GEO_HAVE, {"keys": _spelled(connection, ips, odd)}):
        ip = key if key in wanted else read_address(key)[1]
        keys.setdefault(ip, []).append(key)
    return keys


def _spelled(connection: "Connection", ips: Sequence[str], odd: Sequence[str]) -> str:
    """Return the texts under which rows of these addresses may stand, as JSON.

    As a rule no row at all has an IPv4 address in IPv6 clothes; that is quickly seen, and saves many lookups.
    """
    mapped = connection.execute(queries.GEO_HAS_MAPPED).fetchone()[0]
    texts = (spellings(ip) if mapped or ":" in ip else (ip,) for ip in ips)
    return msgspec.json.encode([*(text for spelled in texts for text in spelled), *odd]).decode()
