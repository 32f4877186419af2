"""What the web app's tables look like, and how bangeod's statements fit them.

The schema is the web app's to change: columns may be missing or new, a table may have no rowid. All that
matters is decided here once, from what SQLite says of the table, as plain data.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bangeod.store import queries

_QUOTED_OR_COMMENT = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|/\*.*?\*/|--[^\n]*""", re.DOTALL
)
GEO_COLUMNS = ("country_code", "country_name", "asn", "org")
UPSERT_COLUMNS = ("ip", *GEO_COLUMNS, "cached_at", "last_seen")
# What a row must still hold to be replaced; the country's name follows from its code.
HELD_COLUMNS = ("country_code", "asn", "org")


class UnfitError(Exception):
    """A table can't be worked with; the message says why."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column as ``pragma_table_info`` tells it."""

    name: str
    key_position: int  # 0 where it is no part of the primary key


@dataclass(frozen=True, slots=True)
class Table:
    """A table that rows can be paged through and deleted from by age."""

    name: str
    key: str  # rowid, or the only column of the primary key
    columns: frozenset[str]
    label: str  # what a deleted row is reported by: an SQL expression
    time: str | None  # the column that decides on the row's age

    def sql(self, statement: str, *, first: bool = False) -> str:
        """Fill in a statement of queries.py; ``first`` leaves out the lower bound of a page."""
        after = queries.AFTER_START if first else queries.AFTER_KEY.format(key=self.key)
        micros = queries.MICROSECONDS.format(c=self.time) if self.time else "NULL"
        return statement.format(
            table=self.name,
            key=self.key,
            label=self.label,
            micros=micros,
            time=self.time or "NULL",
            after=after,
            **self._geo(micros),
        )

    def _geo(self, micros: str) -> dict[str, str]:
        if "ip" not in self.columns:
            return {}
        parts = [name if name in self.columns else "NULL" for name in GEO_COLUMNS]
        return {"geo": ", ".join(["ip", *parts]), "seconds": f"({micros}) / 1000000"}

    def upsert(self) -> str:
        """Return the statement that inserts entries or updates their rows, over the columns that are there.

        ``:rows`` is JSON, an array of arrays in the order of UPSERT_COLUMNS.
        """
        names = [c for c in UPSERT_COLUMNS if c in self.columns]
        sets = [queries.SET_GEO.format(c=c, t="geo_cache") for c in GEO_COLUMNS if c in self.columns]
        changes = [queries.TAKES_COUNTRY]
        changes += [queries.CHANGES_GEO.format(c=c) for c in GEO_COLUMNS[1:] if c in self.columns]
        if "cached_at" in self.columns:
            sets.append(queries.SET_WHERE_TAKEN.format(c="cached_at"))
        if "last_seen" in self.columns:
            micros = queries.MICROSECONDS.format(c="geo_cache.last_seen")
            older = queries.SEEN_IS_OLDER.format(micros=micros)
            sets.append(queries.SET_SEEN.format(older=older))
            changes.append(older)
        return queries.UPSERT.format(
            columns=", ".join(names),
            values=", ".join(f"value ->> {UPSERT_COLUMNS.index(name)}" for name in names),
            sets=", ".join(sets),
            changes=" OR ".join(changes),
        )

    def replace(self) -> str:
        """Return the statement that gives rows another place where they still hold what is to be replaced.

        ``:rows`` as for ``upsert``, each array going on with what the row must hold, in the order of HELD_COLUMNS.
        """
        sets = [
            queries.SET_REPLACED.format(c=name, n=UPSERT_COLUMNS.index(name))
            for name in (*GEO_COLUMNS, "cached_at")
            if name in self.columns
        ]
        holds = [
            queries.STILL_HOLDS.format(c=name, n=len(UPSERT_COLUMNS) + position)
            for position, name in enumerate(HELD_COLUMNS)
            if name in self.columns
        ]
        return queries.REPLACE.format(key=self.key, sets=", ".join(sets), holds=" AND ".join(holds))


def geo_table(kind: str | None, sql: str | None, columns: Sequence[Column]) -> Table:
    """Fit geo_cache: needs ``ip`` and ``country_code``; age by ``last_seen``, else ``cached_at``."""
    names = _names("geo_cache", kind, sql, columns, needed=("ip", "country_code"))
    time = next((name for name in ("last_seen", "cached_at") if name in names), None)
    return Table("geo_cache", _key("geo_cache", sql, columns), names, label="ip", time=time)


def sessions_table(kind: str | None, sql: str | None, columns: Sequence[Column]) -> Table:
    """Fit sessions: needs ``expires_at``."""
    names = _names("sessions", kind, sql, columns, needed=("expires_at",))
    return Table("sessions", _key("sessions", sql, columns), names, label="''", time="expires_at")


def _names(
    table: str, kind: str | None, sql: str | None, columns: Sequence[Column], needed: Sequence[str]
) -> frozenset[str]:
    if kind is None:
        raise UnfitError(f"there is no table {table}")
    if sql is not None and sql.upper().startswith("CREATE VIRTUAL"):
        raise UnfitError(f"{table} is a virtual table, which can't be worked with")
    if kind != "table":
        raise UnfitError(f"{table} is a {kind}, not a table")
    names = frozenset(column.name.lower() for column in columns)
    missing = [name for name in needed if name not in names]
    if missing:
        raise UnfitError(f"table {table} has no column {' and no column '.join(missing)}")
    return names


def _key(table: str, sql: str | None, columns: Sequence[Column]) -> str:
    if not _is_without_rowid(sql):
        return _rowid(table, columns)
    keys = [column.name for column in columns if column.key_position]
    if len(keys) != 1:
        raise UnfitError(f"table {table} has no rowid and a primary key of {len(keys)} columns")
    quoted = keys[0].replace('"', '""')
    return f'"{quoted}"'


def _rowid(table: str, columns: Sequence[Column]) -> str:
    """Return a name of the rowid that no column has taken (sqlite.org/rowidtable.html)."""
    taken = {column.name.lower() for column in columns}
    name = next((name for name in ("rowid", "_rowid_", "oid") if name not in taken), None)
    if name is None:
        raise UnfitError(f"table {table} has columns that hide its rowid")
    return name


def _is_without_rowid(sql: str | None) -> bool:
    """Read the options that follow the last bracket of CREATE TABLE."""
    options = _QUOTED_OR_COMMENT.sub(" ", sql or "").rpartition(")")[2]
    return "WITHOUT ROWID" in " ".join(options.upper().split())
