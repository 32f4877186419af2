"""A look at the database that leaves nothing behind: no row, no file, no lock that lasts."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from bangeod.errors import StoreError
from bangeod.store import faults, glance, queries, times
from bangeod.store.columns import Table, UnfitError
from bangeod.store.connection import leniently
from bangeod.store.engine import engine
from bangeod.store.geo_rows import without_country
from bangeod.store.sqlite import look_at_tables
from bangeod.store.trial import Refusal, what_is_refused

if TYPE_CHECKING:
    from sqlite3 import Connection

T = TypeVar("T")

WAL: Final = "wal"
CENSUS_SECONDS: Final = 2.0  # a million rows take a fraction of one
STEPS: Final = 10_000  # of SQLite's virtual machine between two looks at the time


class Look(NamedTuple):
    """What was seen. A number is None where counting took too long, or would have kept the web app waiting."""

    journal_mode: str
    tables: Mapping[str, Table | UnfitError]
    rows: int | None = None
    unresolved: int | None = None
    newest: int | None = None  # epoch seconds; the last of the times as text, so of one form at best
    sessions: int | None = None
    expired: int | None = None
    refusals: Sequence[Refusal] = ()  # what geo_cache would not take of what bangeod writes


class Wish(NamedTuple):
    """What to look at, and for how long; times in seconds."""

    path: Path
    now: float
    busy_timeout: float
    census_seconds: float


def inspect(path: Path, *, now: float, busy_timeout: float, census_seconds: float = CENSUS_SECONDS) -> Look:
    """Look at the tables and count rows; times in seconds. Raises StoreError. Blocks."""
    try:
        return _inspect(Wish(path, now, busy_timeout, census_seconds))
    except engine.Error as error:
        code = getattr(error, "sqlite_errorcode", None) or 0
        if code in glance.NEEDS_A_WRITER:
            problem = "was not closed cleanly, and can't be read before that has been put right"
            advice = "start the web app or bangeod: the first that opens it to write puts it right"
            raise StoreError(str(path), problem, advice) from error
        raise faults.translate(path, code, str(error)) from error


def _inspect(wish: Wish) -> Look:
    parameters = glance.manner(wish.path)
    if parameters == glance.WITH_OTHERS:
        return _look(wish, parameters)
    try:
        return _look(wish, parameters)._replace(journal_mode=WAL)
    except engine.DatabaseError:
        if not glance.is_open_somewhere(wish.path):
            raise
    return _look(wish, glance.WITH_OTHERS)  # another one has opened it meanwhile


def _look(wish: Wish, parameters: str) -> Look:
    with glance.opened(wish.path, parameters, wish.busy_timeout) as connection:
        _, seen = look_at_tables(connection, None)
        tables = {name: _compile(connection, table) for name, table in (seen or {}).items()}
        mode = connection.execute(queries.JOURNAL_MODE).fetchone()[0]
        geo_table = tables["geo_cache"]
        refusals = what_is_refused(connection, geo_table) if isinstance(geo_table, Table) else ()
        look = Look(mode, tables, refusals=refusals)
        if mode != WAL and parameters != glance.ALONE:  # a reader would make writers wait
            return look
        geo = _count(connection, tables["geo_cache"], queries.GEO_CENSUS, wish)
        unresolved = _timed(connection, tables["geo_cache"], without_country, wish) if geo else None
        sessions = _count(connection, tables["sessions"], queries.SESSIONS_CENSUS, wish)
    if geo:
        look = look._replace(rows=geo[0], unresolved=unresolved, newest=times.whole_seconds(geo[1]))
    return look._replace(sessions=sessions[0], expired=sessions[1]) if sessions else look


def _compile(connection: "Connection", table: Table | UnfitError) -> Table | UnfitError:
    """Let SQLite read the statements that the jobs will run: it misses an index or a trigger's table by that."""
    if isinstance(table, UnfitError):
        return table
    statements = [table.sql(queries.DELETE_DUE)]
    if table.name == "geo_cache":
        statements += [table.insert(), table.update(table.changeable)]
    nulls: defaultdict[str, None] = defaultdict(lambda: None)
    try:
        for statement in statements:
            connection.execute(queries.EXPLAIN.format(statement=statement), nulls).fetchall()
    except engine.OperationalError as error:
        if getattr(error, "sqlite_errorcode", faults.ERROR) != faults.ERROR:
            raise
        return UnfitError(f"table {table.name} can't be worked with: {error}")
    return table


def _count(connection: "Connection", table: Table | UnfitError, statement: str, wish: Wish) -> tuple[int, ...] | None:
    def count(opened: "Connection", fit: Table) -> tuple[int, ...]:
        counts: tuple[int, ...] = opened.execute(fit.sql(statement), {"now": int(wish.now)}).fetchone()
        return counts

    return _timed(connection, table, count, wish)


def _timed(
    connection: "Connection", table: Table | UnfitError, count: "Callable[[Connection, Table], T]", wish: Wish
) -> T | None:
    """Count something, or give up where that takes too long."""
    if isinstance(table, UnfitError):
        return None
    connection.set_progress_handler(_past(time.monotonic() + wish.census_seconds), STEPS)
    try:
        return leniently(connection, lambda opened: count(opened, table))
    except engine.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) != faults.INTERRUPT:
            raise
        return None
    finally:
        connection.set_progress_handler(None, 0)


def _past(deadline: float) -> Callable[[], bool]:
    return lambda: time.monotonic() > deadline
