"""An empty copy of the web app's schema in memory, to test what a table accepts; the database is not touched."""

import contextlib
from typing import TYPE_CHECKING

from bangeod.store.sqlite import geo_writing, queries
from bangeod.store.sqlite.engine import engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from sqlite3 import Connection

    from bangeod.model import DirtyEntry
    from bangeod.store.sqlite.columns import Table
    from bangeod.store.time_forms import TimeForms


@contextlib.contextmanager
def copied(connection: "Connection", schema: str) -> "Iterator[Connection | None]":
    """Make an empty copy of the schema; None where the table can't be copied (it needs a collation of the web app)."""
    encoding = connection.execute(queries.ENCODING).fetchone()[0]
    statements = [sql for (sql,) in connection.execute(schema)]
    with contextlib.closing(engine.connect(":memory:", isolation_level=None)) as copy:
        copy.execute(queries.SET_ENCODING.format(encoding=encoding))
        for statement in statements:
            with contextlib.suppress(engine.Error):  # for example a virtual table
                copy.execute(statement)
        has_table = copy.execute(queries.KIND_OF_TABLE, ("geo_cache",)).fetchone()
        yield copy if has_table else None


def refusal(copy: "Connection", table: "Table", forms: "TimeForms", entry: "DirtyEntry") -> Exception | None:
    """Write an entry to the copy; return the engine's error if it is refused."""
    try:
        plan = geo_writing.plan(copy, table, [entry], (), forms=forms)
        for statement, rows, _ in plan.statements():
            copy.execute(statement, {"rows": rows})
    except engine.Error as error:
        return error
    return None
