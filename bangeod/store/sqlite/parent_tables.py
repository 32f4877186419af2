"""Tables that geo_cache refers to by foreign keys of its own: a row whose country is not there is refused."""

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from bangeod import countries
from bangeod.store.sqlite import queries
from bangeod.store.sqlite.child_tables import quoted

if TYPE_CHECKING:
    from sqlite3 import Connection


class Lacking(NamedTuple):
    """A table that does not have all that geo_cache would refer to."""

    parent: str
    column: str  # of geo_cache
    values: int  # that may be written
    missing: int  # of these
    example: str | None  # of the missing ones


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
