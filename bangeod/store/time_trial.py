"""Trying in memory whether the web app's table takes the times that bangeod writes: in the file nothing is changed."""

from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from bangeod.store import form_watch, queries
from bangeod.store.columns import Table
from bangeod.store.engine import engine
from bangeod.store.time_forms import TimeForms

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
    forms = form_watch.look_up(connection, table)
    found = []
    with closing(engine.connect(":memory:", isolation_level=None)) as memory:
        try:
            _copy(connection, memory, table)
        except engine.Error:
            return []
        for column in TimeForms._fields:
            if column in table.written:
                value = getattr(forms, column).write(now)
                try:
                    memory.execute(queries.SET_TIME.format(c=column), (value,))
                except engine.IntegrityError as error:
                    found.append(RefusedTime(column, value, str(error)))
    return found


def _copy(connection: "Connection", memory: "Connection", table: Table) -> None:
    """Make the table and a row of it. Raises the engine's errors."""
    (encoding,) = connection.execute(queries.ENCODING).fetchone()
    memory.execute(queries.SET_ENCODING.format(encoding=encoding))
    _, sql = connection.execute(queries.KIND_OF_TABLE, (table.name,)).fetchone()
    memory.execute(sql)
    names = [name for (name,) in connection.execute(queries.STORED_COLUMNS)]
    quoted = [f'"{name.replace(chr(34), chr(34) * 2)}"' for name in names]
    statement = queries.LAST_ROW.format(columns=", ".join(quoted), key=table.key)
    row = connection.execute(statement).fetchone()
    if row is None:
        memory.execute(queries.INSERT_ROW.format(columns="ip", values="?"), ("192.0.2.1",))
    else:
        holders = ", ".join("?" for _ in names)
        memory.execute(queries.INSERT_ROW.format(columns=", ".join(quoted), values=holders), row)
