"""Tables that geo_cache refers to by its own foreign keys: a row is refused if its country is not in them."""

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from bangeod import countries
from bangeod.store.sqlite import queries
from bangeod.store.sqlite.child_tables import quoted

if TYPE_CHECKING:
    from sqlite3 import Connection


class Lacking(NamedTuple):
    """A table that lacks values which geo_cache would refer to."""

    parent: str
    column: str  # of geo_cache
    values: int  # how many may be written
    missing: int  # how many of these are missing
    example: str | None  # a missing value


def lacking(connection: "Connection") -> list[Lacking]:
    """Find the tables that country_code refers to and that lack codes of countries. Raises the engine's errors."""
    keys = connection.execute(queries.PARENTS_OF_COUNTRY).fetchall()
    found = [_look(connection, parent, column) for parent, column in keys]
    return [table for table in found if table.missing]


def _look(connection: "Connection", parent: str, column: str) -> Lacking:
    codes = countries.codes()
    statement = queries.MISSING_IN_PARENT.format(parent=quoted(parent), column=quoted(column))
    missing, example = connection.execute(statement, {"values": msgspec.json.encode(codes).decode()}).fetchone()
    return Lacking(parent, "country_code", len(codes), missing, example)
