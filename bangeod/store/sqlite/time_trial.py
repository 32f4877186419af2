"""Trying in memory whether the web app's table takes the times that bangeod writes: in the file nothing is changed."""

from typing import TYPE_CHECKING, NamedTuple

from bangeod.store.sqlite import queries, schema_copy, time_form_watch
from bangeod.store.sqlite.child_tables import quoted
from bangeod.store.sqlite.columns import Table
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.time_forms import TimeForms

if TYPE_CHECKING:
    from sqlite3 import Connection


class RefusedTime(NamedTuple):
    """A time that a column does not take, and what SQLite says of it."""

    column: str
    value: str | float
    reason: str


def refusals(connection: "Connection", table: Table, now: int) -> list[RefusedTime]:
    """Return the times that geo_cache does not take; ``now`` in epoch seconds.

    They are put into a copy of its last row, which fulfils whatever else the table asks for, or into a row with an
    address alone. Where not even that can be had (a table may need functions of the web app's), nothing is said.
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
    """Put a row into the copy, if that can be."""
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
