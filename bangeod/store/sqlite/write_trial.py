"""Testing on an empty copy in memory whether a table accepts what bangeod writes; the database is not touched."""

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from bangeod.model import DirtyEntry, Geo
from bangeod.store.sqlite import queries, schema_copy, time_form_watch
from bangeod.store.sqlite.engine import engine

if TYPE_CHECKING:
    from sqlite3 import Connection

    from bangeod.store.sqlite.columns import Table
    from bangeod.store.time_forms import TimeForms

_SEEN: Final = 1_795_305_600  # seconds since the epoch; any will do
_PLACE: Final = Geo("US", "United States", "AS15169", "Google LLC")
_WITH_COUNTRY: Final = DirtyEntry("8.8.8.8", _PLACE, _SEEN, _SEEN)
_WITHOUT: Final = DirtyEntry("9.9.9.9", Geo(), _SEEN, _SEEN)
_AS_ALONE: Final = DirtyEntry("1.1.1.1", Geo(asn="AS13335", org="Cloudflare, Inc."), _SEEN, _SEEN)
_OF_IPV6: Final = DirtyEntry("2001:4860:4860::8844", _PLACE._replace(org="Google"), _SEEN, _SEEN)
_RESOLVED_LATER: Final = DirtyEntry(
    "9.9.9.9", Geo("CH", "Switzerland", "AS19281", "Quad9"), _SEEN + 86_400, _SEEN + 86_400
)
_ROW_WITHOUT: Final = "a new row without a country"
_NEW: Final = {
    "a new row with a country": _WITH_COUNTRY,
    "a new row of an IPv6 address": _OF_IPV6,
    _ROW_WITHOUT: _WITHOUT,
    "a new row with an AS and no country": _AS_ALONE,
}
# SQLite's messages about constraints; others are a trigger's. The extended result code would tell, but pysqlite3 0.6.1
# gives the primary one.
_OF_CONSTRAINTS: Final = re.compile(
    "(CHECK|NOT NULL|UNIQUE|FOREIGN KEY) constraint failed|cannot store |datatype mismatch"
)


class NotTaken(NamedTuple):
    """A kind of write that a table refuses, and why."""

    what: str
    problem: str  # SQLite's words, or those of the trigger
    by_trigger: bool = False


def what_is_refused(connection: "Connection", table: "Table") -> list[NotTaken]:
    """Try every kind of write on a copy of the schema with its triggers.

    If a column is not filled no new row is possible anyway; if no row without a country is possible, none can get a
    country later.
    """
    if table.not_filled:
        return []
    table = replace(table, needs_country="")  # otherwise what is known to be refused would not be tried
    forms = time_form_watch.look_up(connection, table)
    with schema_copy.copied(connection, queries.WHOLE_SCHEMA) as copy:
        if copy is None:
            return []
        tried = {what: _try(copy, table, forms, what, entry) for what, entry in _NEW.items()}
        if tried[_ROW_WITHOUT] is None:
            what = "a country in a row that had none"
            tried[what] = _try(copy, table, forms, what, _RESOLVED_LATER)
    return [refusal for refusal in tried.values() if refusal]


def needs_country(connection: "Connection", table: "Table") -> str:
    """Return why the table's constraints refuse a new row only if it has no country; empty if they don't."""
    if table.not_filled:
        return ""
    forms = time_form_watch.look_up(connection, table)
    with schema_copy.copied(connection, queries.SCHEMA_OF_GEO) as copy:
        if copy is None or _try(copy, table, forms, "", _WITH_COUNTRY):
            return ""
        refusal = _try(copy, table, forms, "", _WITHOUT)
    return refusal.problem if refusal else ""


def _try(copy: "Connection", table: "Table", forms: "TimeForms", what: str, entry: DirtyEntry) -> NotTaken | None:
    error = schema_copy.refusal(copy, table, forms, entry)
    if error is None:
        return None
    by_trigger = isinstance(error, engine.IntegrityError) and not _OF_CONSTRAINTS.match(str(error))
    return NotTaken(what, str(error), by_trigger)
