"""Checks of the database: whether SQLite can use it, whether its tables fit, and the clock that rows age by."""

import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bangeod.check import library
from bangeod.check.finding import Finding, fault, ok, quoted, warning
from bangeod.clock import SECONDS_A_DAY, to_text
from bangeod.config import Settings
from bangeod.errors import StoreDamagedError, StoreError, StoreLockedError, StoreReadOnlyError
from bangeod.store import symlinks, times
from bangeod.store.sqlite import faults
from bangeod.store.sqlite.child_tables import quoted as in_sql
from bangeod.store.sqlite.columns import GEO_COLUMNS, Table, UnfitTableError
from bangeod.store.sqlite.inspection import SAMPLE, WAL, Look, Times, UnworkableError, inspect
from bangeod.store.sqlite.parent_tables import Lacking
from bangeod.store.sqlite.time_trial import RefusedTime

DATABASE: Final = "database"
SCHEMA: Final = "schema"
EARLIEST: Final = 1_704_067_200  # 2024-01-01: the machine's clock can't be right before that


def examine(settings: Settings, *, may_read: bool, now: float) -> Iterator[Finding]:
    """Check the file at the path, and its content if it may be read."""
    path = settings.database.file
    yield from library.examine()
    yield from clock(now)
    problem = _wrong_file(path)
    if problem:
        yield problem
        return
    if not (may_read and os.access(path, os.R_OK, effective_ids=True)):  # a link may point into a closed directory
        yield warning(DATABASE, path, "was not looked into, as it may not be read", "mend its permissions, check again")
        return
    yield from _other_names(path)
    try:
        look = inspect(path, now=now, busy_timeout=settings.database.busy_timeout)
    except StoreError as error:
        yield _explain(path, error)
    else:
        yield from contents(path, look, now, settings.jobs.geo_cache_cleanup.retention_days)


def clock(now: float) -> Iterator[Finding]:
    """Check the machine's clock, by which rows and sessions expire."""
    if now < EARLIEST:
        problem = f"the machine's clock says {to_text(max(now, 0))}, so nothing expires and new rows look old"
        yield fault("clock", "", problem, "timedatectl set-ntp true   # or set the clock by hand")


def contents(path: Path, look: Look, now: float, retention_days: int) -> Iterator[Finding]:
    """Check what was seen in the database."""
    if look.journal_mode != WAL:
        yield warning(
            DATABASE,
            path,
            f"journal mode is {look.journal_mode}, not wal: bangeod and the web app wait for each other's reads",
            f"stop the web app and bangeod, then: sqlite3 {quoted(path)} 'PRAGMA journal_mode = WAL'",
        )
    else:
        leads = f"; symbolic links lead to {symlinks.real(path)}" if symlinks.route(path).links else ""
        yield ok(DATABASE, path, f"a SQLite database in WAL mode{leads}")
    for name, table in look.tables.items():
        yield from _unfit(path, name, table) if isinstance(table, UnfitTableError) else _fit(path, table, look)
    for seen in look.times:
        table = look.tables[seen.table]
        yield from _readable(path, seen, ages=isinstance(table, Table) and seen.column == table.time)
    for refusal in look.refused_times:
        yield _refused(path, refusal)
    yield from _slow_children(path, look)
    yield from _ages(path, look, now, retention_days)


def _unfit(path: Path, name: str, problem: UnfitTableError) -> Iterator[Finding]:
    what = "nothing is cached or cleaned up" if name == "geo_cache" else "expired sessions stay"
    advice = "start the web app once so that it makes or migrates its tables, or set [database] path to its database"
    if isinstance(problem, UnworkableError):
        advice = problem.advice
    yield fault(SCHEMA, path, f"{problem}; {what}", advice)


def _slow_children(path: Path, look: Look) -> Iterator[Finding]:
    for key in look.without_index:
        columns = ", ".join(map(in_sql, key.columns))
        name = in_sql("_".join((key.child, *key.columns)))
        statement = f"CREATE INDEX {name} ON {in_sql(key.child)} ({columns})"
        yield warning(
            SCHEMA,
            path,
            f"table {key.child} refers to {key.parent} by {', '.join(key.columns)}, and no index leads to its rows: "
            f"each row that is deleted from {key.parent} has all of {key.child} read, with the database locked",
            f"sqlite3 {quoted(path)} {shlex.quote(statement)}   # or have the web app's migrations make it",
        )


def _fit(path: Path, table: Table, look: Look) -> Iterator[Finding]:
    yield ok(SCHEMA, path, f"table {table.name}{_census(table.name, look)}")
    if table.name != "geo_cache":
        return
    yield from _refusals(path, table, look)
    for parent in look.lacking:
        yield _lacking(path, parent)
    missing = [column for column in GEO_COLUMNS if column not in table.columns]
    if missing:
        problem = f"table geo_cache has no column {' and no column '.join(missing)}: that is not stored"
        yield warning(SCHEMA, path, problem, "update the web app, which makes the columns")
    if table.time is None:
        problem = "table geo_cache has neither a column last_seen nor cached_at: job geo_cache_cleanup can't run"
        yield fault(SCHEMA, path, problem, "update the web app, which makes the columns")
    elif table.time != "last_seen":
        problem = "table geo_cache has no column last_seen: rows go by cached_at, however lately they were looked up"
        yield warning(SCHEMA, path, problem, "update the web app, which makes the column")


def _refusals(path: Path, table: Table, look: Look) -> Iterator[Finding]:
    """Report rows of bangeod's that the table would refuse, as tried on an empty copy."""
    if table.not_filled:
        problem = (
            f"table geo_cache takes no new row: {faults.unfilled(table.not_filled)}, and bangeod does not know what "
            "belongs there; rows that are there are kept up to date"
        )
        yield fault(SCHEMA, path, problem, "give that a default in the web app's schema, or allow NULL")
    by_problem: dict[tuple[str, bool], list[str]] = {}
    for refusal in look.refusals:
        by_problem.setdefault((refusal.problem, refusal.by_trigger), []).append(refusal.what)
    for (refused, by_trigger), what in by_problem.items():
        problem = f"table geo_cache refuses {', and '.join(what)}: {refused}"
        if by_trigger:  # its decision may depend on other tables, which were empty
            yield warning(SCHEMA, path, f"a trigger of {problem}", "see whether that trigger lets bangeod's rows pass")
        else:
            advice = "change that constraint in the web app's schema: such rows are not stored as long as it is there"
            yield fault(SCHEMA, path, problem, advice)


def _lacking(path: Path, table: Lacking) -> Finding:
    problem = (
        f"table geo_cache refers by {table.column} to table {table.parent}, which has {table.missing} of "
        f"{table.values} countries not ({table.example}, for example): no row of an address there is stored"
    )
    advice = f"let the web app fill table {table.parent}, or declare {table.column} without the foreign key"
    return (fault if table.missing == table.values else warning)(SCHEMA, path, problem, advice)


def _census(name: str, look: Look) -> str:
    if name == "geo_cache" and look.rows is not None:
        without = f", {look.unresolved:,} without a country" if look.unresolved is not None else ""
        return f": {_rows(look.rows)}{without}"
    if name == "sessions" and look.sessions is not None:
        return f": {_rows(look.sessions)}" + ("" if look.expired is None else f", {look.expired:,} expired")
    return ""


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _readable(path: Path, seen: Times, *, ages: bool) -> Iterator[Finding]:
    """Check the times that rows age by: a row whose time can't be read stays for ever.

    If ``ages`` is false, rows don't age by them; but the web app can't compare such times with those that bangeod
    writes.
    """
    if not seen.unreadable:
        return
    guess = times.may_be(seen.example)
    example = f"for example {repr(seen.example)[:80]}" + (f", which looks like {guess}" if guess else "")
    where = f"column {seen.column} of table {seen.table}" + ("" if seen.of_all else f", in its last {SAMPLE:,} rows,")
    advice = "let the web app store times in UTC, as YYYY-MM-DDTHH:MM:SSZ or as seconds since 1970"
    if seen.unreadable == seen.values:
        so = "no row is ever deleted" if ages else "what bangeod writes there compares with none of it"
        yield fault(SCHEMA, path, f"{where} holds nothing that is a time, {example}: {so}", advice)
        return
    if not ages:
        return
    problem = (
        f"{where} holds {seen.unreadable:,} of {seen.values:,} values that are no times, {example}: such rows stay"
    )
    yield warning(SCHEMA, path, problem, advice)


def _refused(path: Path, refusal: RefusedTime) -> Finding:
    problem = f"table geo_cache does not take the time {refusal.value!r} in column {refusal.column}: {refusal.reason}"
    advice = f"let the web app declare the column {refusal.column} TEXT or INTEGER, without a CHECK that refuses this"
    return fault(SCHEMA, path, f"{problem}; nothing is stored", advice)


def _ages(path: Path, look: Look, now: float, retention_days: int) -> Iterator[Finding]:
    if look.newest is None:
        return
    if look.newest > now + SECONDS_A_DAY:
        yield warning(
            "clock",
            path,
            f"an address was last seen on {to_text(look.newest)}, which is yet to come: this machine's clock "
            f"({to_text(now)}) or the web app's is wrong, or was",
            "timedatectl   # where the clock is right, such rows merely stay longer",
        )
    if look.newest < now - retention_days * SECONDS_A_DAY:
        yield warning(
            "clock",
            path,
            f"no address was seen after {to_text(look.newest)}: the next geo_cache_cleanup deletes all that were "
            f"not seen for {retention_days} days",
            "see whether the clock is right (timedatectl) and whether the web app uses this database",
        )


def _wrong_file(path: Path) -> Finding | None:
    """Report what stat() shows already: SQLite's own message would be misleading."""
    if faults.is_missing(path):
        error = faults.missing(path)
        return fault(DATABASE, path, error.problem, error.advice)
    try:
        status = path.stat()  # not is_file() and the like: from Python 3.14 on they hide that a directory is closed
    except OSError:  # a directory on the way is closed: another check reports it
        return None
    if stat.S_ISDIR(status.st_mode):
        return fault(DATABASE, path, "is a directory", "set [database] path to the database file itself")
    if not stat.S_ISREG(status.st_mode):
        return fault(DATABASE, path, "is no regular file", "set [database] path to the web app's database")
    if not status.st_size:
        advice = "start the web app once so that it makes its tables, or restore the database from a backup"
        return fault(DATABASE, path, "is empty (0 bytes)", advice)
    return None


def _other_names(path: Path) -> Iterator[Finding]:
    """Warn of hard links. SQLite can't tell that two names are the same file, so each gets a WAL of its own."""
    names = path.stat().st_nlink
    if names > 1:
        yield warning(
            DATABASE,
            path,
            f"the file has {names} names (hard links): SQLite keeps a log beside each by which it is opened, and where "
            "two programs use two of them the database is damaged",
            f"find / -xdev -samefile {quoted(path)} 2>/dev/null   # keep one, make symbolic links of the others",
        )


def _explain(path: Path, error: StoreError) -> Finding:
    advice = error.advice
    if isinstance(error, StoreLockedError):
        advice = f"look for a program that keeps a transaction open: fuser -v {quoted(path)}"
    elif isinstance(error, StoreDamagedError):
        advice = f"{error.advice}; leave nothing of its -wal and -shm beside a file that is put back"
    elif isinstance(error, StoreReadOnlyError):
        return fault(
            DATABASE, path, "SQLite can't open it", f"ls -la {quoted(path.parent)}   # and mend what is said of it"
        )
    return fault(DATABASE, path, error.problem, advice)
