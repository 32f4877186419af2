"""Which form the times in geo_cache have, found out from its types and its latest rows."""

from typing import TYPE_CHECKING, Final

from bangeod.store import queries, time_forms
from bangeod.store.columns import Table
from bangeod.store.time_forms import TimeForms

if TYPE_CHECKING:
    from sqlite3 import Connection

# Rows at the end of the table that the newest time is looked for in: as a rule the web app's last ones are among
# these. More only where not one of them can be read. A millisecond, and some twenty.
LATEST: Final = (300, 10_000)


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
    forms = {
        column: time_forms.choose(types[column], _newest(connection, table, column, types[column]))
        for column in TimeForms._fields
        if column in types
    }
    return TimeForms(**forms)


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
