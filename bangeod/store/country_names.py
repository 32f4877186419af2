"""Which names the rows of geo_cache have for each country, and how many have which."""

from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING

import msgspec

from bangeod.store import queries
from bangeod.store.columns import Table
from bangeod.store.connection import SharedFile
from bangeod.store.paging import Bounds, pages
from bangeod.store.port import LONGEST_NAME, MOST_NAMES

if TYPE_CHECKING:
    from sqlite3 import Connection


async def count(file: SharedFile, table: Table, but: Collection[str]) -> Mapping[tuple[str, str], int]:
    """Count rows by code and name, a page at a time; those whose code is in ``but`` aside."""
    found: Counter[tuple[str, str]] = Counter()
    if "country_name" not in table.columns:
        return found
    options = {"but": msgspec.json.encode(sorted(but)).decode(), "longest": LONGEST_NAME}

    def read(connection: "Connection", bounds: Bounds) -> list[tuple[str, str, int]]:
        statement = table.sql(queries.GEO_NAMES, first=bounds.first)
        return list(connection.execute(statement, bounds.parameters() | options))

    async with aclosing(pages(file, table, read)) as counted:
        async for page in counted:
            for code, name, rows in page:
                if len(found) < MOST_NAMES or (code, name) in found:
                    found[code, name] += rows
    return found
