"""Finding out which form the times in geo_cache have, from its column types, its latest rows and its constraints."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from bangeod.model import DirtyEntry, Geo
from bangeod.store import time_forms
from bangeod.store.sqlite import queries, schema_copy
from bangeod.store.sqlite.columns import Table
from bangeod.store.time_forms import TimeForms

if TYPE_CHECKING:
    from sqlite3 import Connection

# How many rows at the end of the table are searched for the newest time: usually the web app's last ones are among
# these. The larger number only if no time in them is readable. A millisecond, and some twenty.
LATEST: Final = (300, 10_000)
_SEEN: Final = 1_795_305_600  # seconds since the epoch; any will do
_TRIED: Final = DirtyEntry("8.8.8.8", Geo("US", "United States", "AS15169", "Google LLC"), _SEEN, _SEEN)


class FormWatch:
    """Remembers the forms in one open database. Used on SQLite's thread.

    An upgrade may change the web app's form while bangeod runs. So the rows are read again once another process
    has committed; until then all new rows are bangeod's own.
    """

    def __init__(self) -> None:
        self._asked_at: int | None = None  # the count of others' commits at the last look
        self._forms = TimeForms()

    def look(self, connection: "Connection", table: Table) -> TimeForms:
        """Return the forms in which to write now."""
        (commits,) = connection.execute(queries.COMMITS_OF_OTHERS).fetchone()
        if commits != self._asked_at:
            self._forms, self._asked_at = look_up(connection, table), commits
        return self._forms


def look_up(connection: "Connection", table: Table) -> TimeForms:
    """Find the forms of the table's times; a missing column gets the default form, and is not written."""
    types = dict(connection.execute(queries.TYPES))
    newest = {
        column: _newest(connection, table, column, types[column]) for column in TimeForms._fields if column in types
    }
    forms = TimeForms(**{column: time_forms.choose(types[column], value) for column, value in newest.items()})
    open_ones = [column for column, value in newest.items() if value is None and not time_forms.settled(types[column])]
    return _as_allowed(connection, table, forms, open_ones) if open_ones and not table.not_filled else forms


def _as_allowed(connection: "Connection", table: Table, forms: TimeForms, columns: Sequence[str]) -> TimeForms:
    """Return the forms, changed in these columns if the table's constraints demand it and a change satisfies them."""
    with schema_copy.copied(connection, queries.SCHEMA_OF_GEO) as copy:
        if copy is None or schema_copy.refusal(copy, table, forms, _TRIED) is None:
            return forms
        others = (other for other in _others(forms, columns) if schema_copy.refusal(copy, table, other, _TRIED) is None)
        return next(others, forms)


def _others(forms: TimeForms, columns: Sequence[str]) -> Iterator[TimeForms]:
    """Yield other forms for these columns: the same form for all of them, then for each column alone."""
    for these in (columns, *((column,) for column in columns)):
        for form in time_forms.USUAL:
            yield forms._replace(**dict.fromkeys(these, form))


def _newest(connection: "Connection", table: Table, column: str, declared: str) -> object:
    """Return the newest readable value among the latest rows; None if there is none, or the type already decides."""
    if time_forms.settled(declared):
        return None
    micros = queries.MICROSECONDS.format(c="raw")
    statement = queries.NEWEST_TIME.format(c=column, key=table.key, micros=micros)
    for limit in LATEST:
        found = connection.execute(statement, {"limit": limit}).fetchone()
        if found:
            return found[0]
    return None
