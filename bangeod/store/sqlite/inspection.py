"""An inspection of the database that leaves nothing behind: no row, no file, no lasting lock."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from bangeod.errors import StoreError
from bangeod.store.sqlite import child_tables, faults, parent_tables, queries, read_only
from bangeod.store.sqlite.child_tables import ForeignKey
from bangeod.store.sqlite.columns import Table, UnfitTableError
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.geo_rows import without_country
from bangeod.store.sqlite.lenient_text import decode
from bangeod.store.sqlite.parent_tables import Lacking
from bangeod.store.sqlite.store import look_at_tables
from bangeod.store.sqlite.time_trial import RefusedTime, refusals
from bangeod.store.sqlite.write_trial import NotTaken, what_is_refused

if TYPE_CHECKING:
    from sqlite3 import Connection

T = TypeVar("T")

WAL: Final = "wal"
CENSUS_SECONDS: Final = 2.0  # a million rows take a fraction of a second
ON_UNWORKABLE: Final = (
    "look at the triggers and foreign keys of this table and at what they refer to, and start the web app once so that "
    "it migrates its tables"
)
STEPS: Final = 10_000  # of SQLite's virtual machine between two looks at the clock
SAMPLE: Final = 5_000  # the last rows, where all would take too long; some 5 ms
NO_LIMIT: Final = -1


class Times(NamedTuple):
    """What a time column holds: the column that gives the age of a table's rows, or another that bangeod writes.

    NULL is no value: "never", or not known yet.
    """

    table: str
    column: str
    values: int
    unreadable: int  # how many of the values
    example: object  # an unreadable value as stored
    newest: int | None  # epoch seconds
    passed: int  # times that are now or earlier
    of_all: bool  # whether of all rows, or only of the last SAMPLE


class Look(NamedTuple):
    """The findings. A number is None where counting took too long, or would have kept the web app waiting."""

    journal_mode: str
    tables: Mapping[str, Table | UnfitTableError]
    rows: int | None = None
    unresolved: int | None = None
    newest: int | None = None  # epoch seconds
    sessions: int | None = None
    expired: int | None = None
    times: Sequence[Times] = ()  # of each table with a time column
    refused_times: Sequence[RefusedTime] = ()  # times that bangeod would write
    refusals: Sequence[NotTaken] = ()  # what else geo_cache refuses of what bangeod writes
    without_index: Sequence[ForeignKey] = ()  # keys that each deletion has to search
    lacking: Sequence[Lacking] = ()  # tables that geo_cache refers to


class UnworkableError(UnfitTableError):
    """SQLite refuses the statements of the jobs; ``advice`` says what to do."""

    def __init__(self, problem: str, advice: str) -> None:
        self.advice = advice
        super().__init__(problem)


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
        code = faults.code(error)
        if code in read_only.NEEDS_A_WRITER:
            problem = "was not closed cleanly, and can't be read before that has been put right"
            advice = "start the web app or bangeod: the first that opens it to write puts it right"
            raise StoreError(str(path), problem, advice) from error
        raise faults.translate(path, code, str(error)) from error


def _inspect(wish: Wish) -> Look:
    parameters = read_only.manner(wish.path)
    if parameters == read_only.WITH_OTHERS:
        return _look(wish, parameters)
    try:
        return _look(wish, parameters)._replace(journal_mode=WAL)
    except engine.DatabaseError:
        if not read_only.is_open_somewhere(wish.path):
            raise
    return _look(wish, read_only.WITH_OTHERS)  # another process has opened it meanwhile


def _look(wish: Wish, parameters: str) -> Look:
    with read_only.opened(wish.path, parameters, wish.busy_timeout) as connection:
        connection.execute(queries.FOREIGN_KEYS)
        connection.text_factory = decode  # an unreadable value need not be UTF-8
        _, seen = look_at_tables(connection, None)
        tables = {name: _compile(connection, table) for name, table in (seen or {}).items()}
        mode = connection.execute(queries.JOURNAL_MODE).fetchone()[0]
        geo = tables["geo_cache"]
        look = Look(mode, tables, without_index=child_tables.without_index(connection))
        if isinstance(geo, Table):
            look = look._replace(lacking=parent_tables.lacking(connection))
            look = look._replace(refused_times=refusals(connection, geo, int(wish.now)))
            if not look.refused_times:  # else that is why no row is taken
                look = look._replace(refusals=what_is_refused(connection, geo))
        may_count = mode == WAL or parameters == read_only.ALONE  # else a reader would make writers wait
        return _counted(connection, look, wish, may_count=may_count)


def _counted(connection: "Connection", look: Look, wish: Wish, *, may_count: bool) -> Look:
    """Count rows and times; if counting is not allowed to take any time, look only at the last times."""
    for name, table in look.tables.items():
        if isinstance(table, UnfitTableError):
            continue
        deadline = time.monotonic() + wish.census_seconds if may_count else None
        (rows,) = _count(connection, table.sql(queries.COUNT), {}, deadline) or (None,)
        seen = _times(connection, table, wish.now, deadline)
        also = _times(connection, replace(table, time="cached_at"), wish.now, deadline) if _has_other(table) else None
        look = look._replace(times=(*look.times, *(times for times in (seen, also) if times)))
        newest, passed = (seen.newest, seen.passed) if seen and seen.of_all else (None, None)
        if name == "geo_cache":
            unresolved = _timed(connection, partial(without_country, connection, table), deadline)
            look = look._replace(rows=rows, unresolved=unresolved, newest=newest)
        else:
            look = look._replace(sessions=rows, expired=passed)
    return look


def _has_other(table: Table) -> bool:
    """Say whether there is a time column that bangeod writes and that gives no row's age."""
    return table.time == "last_seen" and "cached_at" in table.written


def _times(connection: "Connection", table: Table, now: float, deadline: float | None) -> Times | None:
    if table.time is None:
        return None
    statement = table.sql(queries.TIME_CENSUS)
    found = _count(connection, statement, {"now": int(now), "limit": NO_LIMIT}, deadline)
    of_all = found is not None
    if found is None:
        found = connection.execute(statement, {"now": int(now), "limit": SAMPLE}).fetchone()
    return Times._make((table.name, table.time, *found, of_all))


def _compile(connection: "Connection", table: Table | UnfitTableError) -> Table | UnfitTableError:
    """Let SQLite compile the jobs' statements: that reveals a missing index, or a missing table of a trigger."""
    if isinstance(table, UnfitTableError):
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
        advice = faults.ON_MISMATCH if faults.FOREIGN_KEY_MISMATCH in str(error) else ON_UNWORKABLE
        return UnworkableError(f"table {table.name} can't be worked with: {error}", advice)
    return table


def _count(
    connection: "Connection", statement: str, parameters: Mapping[str, object], deadline: float | None
) -> tuple[Any, ...] | None:
    """Return the counts of the statement; None if not done by the deadline (monotonic), or without a deadline."""

    def count() -> tuple[Any, ...]:
        counts: tuple[Any, ...] = connection.execute(statement, parameters).fetchone()
        return counts

    return _timed(connection, count, deadline)


def _timed(connection: "Connection", count: Callable[[], T], deadline: float | None) -> T | None:
    """Run ``count``; None if not done by the deadline (monotonic), or without a deadline."""
    if deadline is None:
        return None
    connection.set_progress_handler(_past(deadline), STEPS)
    try:
        return count()
    except engine.OperationalError as error:
        if faults.code(error) != faults.INTERRUPT:
            raise
        return None
    finally:
        connection.set_progress_handler(None, 0)


def _past(deadline: float) -> Callable[[], bool]:
    return lambda: time.monotonic() > deadline
