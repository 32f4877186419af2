"""Which form the times in geo_cache have, found out from its types, its latest rows and its constraints."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from bangeod.model import DirtyEntry, Geo
from bangeod.store.sqlite import queries, schema_copy, time_forms
from bangeod.store.sqlite.columns import Table
from bangeod.store.sqlite.time_forms import TimeForms

if TYPE_CHECKING:
    from sqlite3 import Connection

# Rows at the end of the table that the newest time is looked for in: as a rule the web app's last ones are among
# these. More only where not one of them can be read. A millisecond, and some twenty.
LATEST: Final = (300, 10_000)
_SEEN: Final = 1_795_305_600  # seconds since the epoch; any will do
_TRIED: Final = DirtyEntry("8.8.8.8", Geo("US", "United States", "AS15169", "Google LLC"), _SEEN, _SEEN)


class FormWatch:
    """Remembers the forms in one open database. Used on SQLite's thread.

    The web app's form may change with an upgrade while bangeod runs. So the rows are asked again once somebody else
    has committed; until then what came since is bangeod's own.
    """

    def __init__(self) -> None:
        self._asked_at: int | None = None  # how many commits of others there were
        self._forms = TimeForms()

    def look(self, connection: "Connection", table: Table) -> TimeForms:
        """Return the forms to write in now."""
        (commits,) = connection.execute(queries.COMMITS_OF_OTHERS).fetchone()
        if commits != self._asked_at:
            self._forms, self._asked_at = look_up(connection, table), commits
        return self._forms


def look_up(connection: "Connection", table: Table) -> TimeForms:
    """Ask the table for the forms of its times; a column that is not there has the default, and is not written."""
    types = dict(connection.execute(queries.TYPES))
    newest = {
        column: _newest(connection, table, column, types[column]) for column in TimeForms._fields if column in types
    }
    forms = TimeForms(**{column: time_forms.choose(types[column], value) for column, value in newest.items()})
    open_ones = [column for column, value in newest.items() if value is None and not time_forms.settled(types[column])]
    return _as_allowed(connection, table, forms, open_ones) if open_ones and not table.not_filled else forms


def _as_allowed(connection: "Connection", table: Table, forms: TimeForms, columns: Sequence[str]) -> TimeForms:
    """Return the forms with others in these columns where the table's constraints ask for that, if any will do."""
    with schema_copy.copied(connection, queries.SCHEMA_OF_GEO) as copy:
        if copy is None or schema_copy.refusal(copy, table, forms, _TRIED) is None:
            return forms
        others = (other for other in _others(forms, columns) if schema_copy.refusal(copy, table, other, _TRIED) is None)
        return next(others, forms)


def _others(forms: TimeForms, columns: Sequence[str]) -> Iterator[TimeForms]:
    """Give other forms for these columns: the same for all of them, then one for one of them alone."""
    for these in (columns, *((column,) for column in columns)):
        for form in time_forms.USUAL:
            yield forms._replace(**dict.fromkeys(these, form))


def _newest(connection: "Connection", table: Table, column: str, declared: str) -> object:
    """Return the newest readable value among the latest rows; None where there is none, or it makes no difference."""
    if time_forms.settled(declared):
        return None
    micros = queries.MICROSECONDS.format(c="raw")
    statement = queries.NEWEST_TIME.format(c=column, key=table.key, micros=micros)
    for limit in LATEST:
        found = connection.execute(statement, {"limit": limit}).fetchone()
        if found:
            return found[0]
    return None
