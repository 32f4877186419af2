"""Rows of geo_cache: read into the model, and looked up by address."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from bangeod.addresses import read_address, spellings
from bangeod.model import Row
from bangeod.store import row_values
from bangeod.store.sqlite import queries
from bangeod.store.sqlite.columns import Table

if TYPE_CHECKING:
    from sqlite3 import Connection


def read_page(connection: "Connection", statement: str, parameters: Mapping[str, object]) -> list[Row]:
    """Read rows: the key as text whatever its type, the place as ``row_values`` reads it."""
    place = row_values.read
    return [
        Row(ip if type(ip) is str else str(ip), place(code, name, asn, org), seen)
        for ip, code, name, asn, org, seen in connection.execute(statement, parameters)
    ]


def read_unresolved(connection: "Connection", statement: str, parameters: Mapping[str, object]) -> list[Row]:
    """Read rows, except those that turn out to have a country."""
    return [row for row in read_page(connection, statement, parameters) if row.geo.country_code is None]


def without_country(connection: "Connection", table: Table) -> int:
    """Count the rows that have no country."""
    odd = connection.execute(table.sql(queries.ODD_COUNTRIES))
    return sum(rows for code, rows in odd if row_values.read(code, None, None, None).country_code is None)


def rows_by_address(
    connection: "Connection", table: Table, ips: Sequence[str], odd: Iterable[str] = ()
) -> dict[str, Row]:
    """Find rows by canonical address, also under ``odd`` keys; if an address has two rows, the one with a country."""
    found: dict[str, Row] = {}
    for row in read_page(connection, table.sql(queries.GEO_FIND), {"keys": spelled(connection, ips, odd)}):
        _, ip = read_address(row.key)
        known = found.get(ip)
        if known is None or known.geo.country_code is None:
            found[ip] = row
    return found


def spelled(connection: "Connection", ips: Iterable[str], odd: Iterable[str]) -> str:
    """Return the texts under which rows of these addresses may be stored, as JSON.

    Usually no row at all has an IPv4 address in IPv6 form; that is quickly checked, and saves many lookups.
    """
    mapped = connection.execute(queries.GEO_HAS_MAPPED).fetchone()[0]
    texts = (spellings(ip) if mapped or ":" in ip else (ip,) for ip in ips)
    return msgspec.json.encode([*(text for words in texts for text in words), *odd]).decode()
