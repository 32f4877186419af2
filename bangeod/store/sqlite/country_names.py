"""Counting which names the rows of geo_cache have for each country."""

from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING

import msgspec

from bangeod.store import row_values
from bangeod.store.port import MOST_NAMES
from bangeod.store.sqlite import queries
from bangeod.store.sqlite.columns import Table
from bangeod.store.sqlite.connection import SharedFile
from bangeod.store.sqlite.paging import Bounds, pages

if TYPE_CHECKING:
    from sqlite3 import Connection


async def count(file: SharedFile, table: Table, but: Collection[str]) -> Mapping[tuple[str, str], int]:
    """Count rows by code and name, a page at a time, except those whose code is in ``but``."""
    found: Counter[tuple[str, str]] = Counter()
    if "country_name" not in table.columns:
        return found
    codes = {"but": msgspec.json.encode(sorted(but)).decode()}

    def read(connection: "Connection", bounds: Bounds) -> Counter[tuple[str, str]]:
        counts: Counter[tuple[str, str]] = Counter()
        statement = table.sql(queries.GEO_NAMES, first=bounds.first)
        for code, name, rows in connection.execute(statement, bounds.parameters() | codes):
            country = row_values.country(code, name)
            if country is not None and country[0] not in but:  # the code may be spelled so that SQL did not exclude it
                counts[country] += rows
        return counts

    async with aclosing(pages(file, table, read)) as counted:
        async for page in counted:
            for country, rows in page.items():
                if len(found) < MOST_NAMES or country in found:
                    found[country] += rows
    return found
