"""Testing in memory whether the web app's table accepts the times that bangeod writes; the file is not changed."""

from typing import TYPE_CHECKING, NamedTuple

from bangeod.store.sqlite import queries, schema_copy, time_form_watch
from bangeod.store.sqlite.child_tables import quoted
from bangeod.store.sqlite.columns import Table
from bangeod.store.sqlite.engine import engine
from bangeod.store.time_forms import TimeForms

if TYPE_CHECKING:
    from sqlite3 import Connection


class RefusedTime(NamedTuple):
    """A time that a column does not accept, and SQLite's message."""

    column: str
    value: str | float
    reason: str


def refusals(connection: "Connection", table: Table, now: int) -> list[RefusedTime]:
    """Return the times that geo_cache does not accept; ``now`` in epoch seconds.

    They are put into a copy of its last row, which fulfils all other constraints, or into a row with only an address.
    If no such row can be made (a table may need functions of the web app), returns no refusals.
    """
    forms = time_form_watch.look_up(connection, table)
    found = []
    with schema_copy.copied(connection, queries.SCHEMA_OF_GEO) as memory:
        if memory is None or not _has_row(connection, memory, table):
            return []
        for column in TimeForms._fields:
            if column in table.written:
                value = getattr(forms, column).write(now)
                try:
                    memory.execute(queries.SET_TIME.format(c=column), (value,))
                except engine.IntegrityError as error:
                    found.append(RefusedTime(column, value, str(error)))
    return found


def _has_row(connection: "Connection", memory: "Connection", table: Table) -> bool:
    """Insert a row into the copy; return False if that fails."""
    names = [quoted(name) for (name,) in connection.execute(queries.STORED_COLUMNS)]
    row = connection.execute(queries.LAST_ROW.format(columns=", ".join(names), key=table.key)).fetchone()
    if row is None:
        names, row = ["ip"], ("192.0.2.1",)
    holders = ", ".join("?" for _ in names)
    try:
        memory.execute(queries.INSERT_ROW.format(columns=", ".join(names), values=holders), row)
    except engine.Error:
        return False
    return True
