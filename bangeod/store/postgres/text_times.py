"""The form in which times are written to a column of text: that of its newest time, else one that its checks allow."""

from typing import Final

from bangeod.errors import StoreError, StoreUnreachableError
from bangeod.store import time_forms
from bangeod.store.postgres import queries
from bangeod.store.postgres.columns import Column, Table, escaped
from bangeod.store.postgres.session import Session
from bangeod.store.time_forms import TimeForm

LAST_BLOCKS: Final = 32  # of a table, in which the newest times are looked for
MOST_TIMES: Final = 10_000  # rows of these
_TRIED: Final = 1_795_305_600  # seconds since the epoch; any will do


async def form_of(session: Session, table: Table, column: Column) -> TimeForm:
    """Return the form to write times in; raises StoreError."""
    newest = await newest_of(session, table, column)
    return await _allowed(session, table, column) if newest is None else time_forms.choose("", newest)


async def newest_of(session: Session, table: Table, column: Column) -> object:
    """Return the newest time among the rows that are last in the table, None where there is none; raises StoreError."""
    where, values = queries.ALL, dict[str, object](limit=MOST_TIMES)
    if not table.is_partitioned:
        ((first,),) = await session.run(queries.LAST_BLOCKS, {"table": table.oid, "blocks": LAST_BLOCKS}, again=True)
        where, values["first"] = queries.FROM_BLOCK, f"({first},0)"
    found = await session.run(table.sql(queries.LATEST_TIMES, c=column.sql, where=where), values, again=True)
    return time_forms.newest(value for (value,) in found)


async def _allowed(session: Session, table: Table, column: Column) -> TimeForm:
    """Return the first of the usual forms that fits into the column, and that its CHECK constraints let in."""
    found = await session.run(queries.CHECKS, {"table": table.oid, "column": column.name}, again=True)
    checks = " AND ".join(f"coalesce({escaped(check)}, true)" for (check,) in found)
    for form in time_forms.USUAL:
        text = str(form.write(_TRIED))
        if column.length is not None and len(text) > column.length:
            continue
        if not checks or await _passes(session, column, checks, text):
            return form
    return time_forms.DEFAULT


async def _passes(session: Session, column: Column, checks: str, text: str) -> bool:
    statement = queries.PASSES.format(value=column.written("CAST(%(text)s AS text)"), c=column.quoted, checks=checks)
    try:
        ((passes,),) = await session.run(statement, {"text": text}, again=True)
    except StoreUnreachableError:
        raise
    except StoreError:  # a check fails at what it does not expect, or can't be asked outside the table
        return False
    return bool(passes)
