"""What the web app's tables look like, and how bangeod's statements are fitted to them.

The schema belongs to the web app: columns may be missing or new, a table may have no rowid. All that matters
is decided here once, from what SQLite says of the table, and kept as plain data.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bangeod import countries
from bangeod.store.sqlite import queries
from bangeod.store.sqlite.column import Column

__all__ = ["GEO_COLUMNS", "UPSERT_COLUMNS", "Column", "Table", "UnfitTableError", "geo_table", "sessions_table"]

_QUOTED_OR_COMMENT = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|/\*.*?\*/|--[^\n]*""", re.DOTALL
)
GEO_COLUMNS = ("country_code", "country_name", "asn", "org")
UPSERT_COLUMNS = ("ip", *GEO_COLUMNS, "cached_at", "last_seen")
# These columns decide how a row is changed; it is written only if they still hold what was read.
HELD_COLUMNS = (*GEO_COLUMNS, "last_seen")
_NULLS: Final = ("NULL", "NULL")
_CODES: Final = ", ".join(f"'{code}'" for code in countries.codes())


class UnfitTableError(Exception):
    """bangeod can't work with a table; the message says why."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose rows can be paged through and deleted by age."""

    name: str
    key: str  # rowid, or the only column of the primary key
    columns: frozenset[str]  # in lower case; generated ones too
    label: str  # an SQL expression: the text by which a deleted row is reported
    time: str | None  # the column that gives the row's age
    written: Mapping[str, Column] = field(default_factory=dict)  # writable columns, by name in lower case
    strict: bool = False
    has_rowid: bool = True
    needs_country: str = ""  # why new rows without a country are refused; empty if not

    def sql(self, statement: str, *, first: bool = False) -> str:
        """Fill in a statement of queries.py; ``first`` leaves out the lower bound of a page."""
        after = queries.AFTER_START if first else queries.AFTER_KEY.format(key=self.key)
        micros, seconds = (
            (form.format(c=self.time) for form in (queries.MICROSECONDS, queries.SECONDS)) if self.time else _NULLS
        )
        return statement.format(
            table=self.name,
            key=self.key,
            label=self.label,
            micros=micros,
            time=self.time or "NULL",
            after=after,
            codes=_CODES,
            seconds=seconds,
            **self._geo(),
        )

    def _geo(self) -> dict[str, str]:
        if "ip" not in self.columns:
            return {}
        names = [name if name in self.columns else "NULL" for name in GEO_COLUMNS]
        place, blob = ", ".join(names), " OR ".join(f"{name} >= x''" for name in ("geo_cache.ip", *names))
        return {"geo": f"ip, {place}", "place": place, "blob": blob}

    @property
    def not_filled(self) -> list[str]:
        """Return the columns for which a new row needs a value that bangeod does not have."""
        own = [column for name, column in self.written.items() if name not in UPSERT_COLUMNS]
        return [column.name for column in own if column.must_be_given and not self._is_numbered(column)]

    def takes_new(self, *, country: bool) -> bool:
        """Say whether the table accepts new rows, with or without a country."""
        return not self.not_filled and (country or not self.needs_country)

    def _is_numbered(self, column: Column) -> bool:
        """Say whether SQLite numbers the column itself: it is the rowid under another name."""
        keys = sum(1 for other in self.written.values() if other.key_position)
        return self.has_rowid and column.key_position == 1 == keys and column.declared.upper() == "INTEGER"

    @property
    def changeable(self) -> tuple[str, ...]:
        """Return the columns of a row that bangeod may change, in the order of UPSERT_COLUMNS."""
        return tuple(name for name in UPSERT_COLUMNS[1:] if name in self.written)

    def held(self) -> str:
        """Return the statement that reads the rows of addresses, with all that decides how they are changed.

        ``:keys`` is JSON. A row is the key, the four columns of the place, whether ``last_seen`` is NULL, its time in
        microseconds, and the text that ``update`` compares.
        """
        seen = "geo_cache.last_seen" if "last_seen" in self.columns else None
        return queries.GEO_HELD.format(
            raw=", ".join(f"geo_cache.{name}" if name in self.columns else "NULL" for name in GEO_COLUMNS),
            unseen=f"{seen} IS NULL" if seen else "NULL",
            micros=queries.MICROSECONDS.format(c=seen) if seen else "NULL",
            held=self._held(),
        )

    def _held(self) -> str:
        quoted = [f"quote(geo_cache.{name})" for name in HELD_COLUMNS if name in self.columns]
        return queries.HELD.format(values=" || ',' || ".join(quoted))

    def insert(self) -> str:
        """Return the statement that inserts rows whose key is not in the table yet.

        ``:rows`` is JSON, an array of arrays in the order of UPSERT_COLUMNS.
        """
        names = [name for name in UPSERT_COLUMNS if name in self.written]
        values = [self._value(name, "value") for name in names]
        return queries.INSERT.format(columns=", ".join(names), values=", ".join(values))

    def update(self, columns: Iterable[str]) -> str:
        """Return the statement that changes these columns of rows that are still as they were read.

        ``:rows`` as for ``insert``; each array ends with the text from ``held`` to compare.
        """
        sets = [f"{name} = {self._value(name, 'found.v')}" for name in columns]
        number = len(UPSERT_COLUMNS)
        return queries.UPDATE.format(key=self.key, held=self._held(), n=number, sets=", ".join(sets))

    def _value(self, name: str, row: str) -> str:
        item = f"{row} ->> {UPSERT_COLUMNS.index(name)}"
        return self.written[name].written(item, strict=self.strict)


def geo_table(kind: str | None, sql: str | None, columns: Sequence[Column]) -> Table:
    """Describe geo_cache: needs ``ip`` and ``country_code``; age by ``last_seen``, else ``cached_at``."""
    names = _names("geo_cache", kind, sql, columns, needed=("ip", "country_code"))
    written = {column.name.lower(): column for column in columns if not column.is_generated}
    generated = [name for name in ("ip", "country_code") if name not in written]
    if generated:
        raise UnfitTableError(
            f"column {generated[0]} of table geo_cache is generated, so nothing can be written into it"
        )
    strict = "STRICT" in _options(sql)
    if strict and written["ip"].declared.upper() == "BLOB":
        raise UnfitTableError("column ip of table geo_cache takes bytes alone, BLOB in a STRICT table, and no text")
    return Table(
        "geo_cache",
        _key("geo_cache", sql, columns),
        names,
        label="ip",
        time=next((name for name in ("last_seen", "cached_at") if name in names), None),
        written=written,
        strict=strict,
        has_rowid=not _is_without_rowid(sql),
    )


def sessions_table(kind: str | None, sql: str | None, columns: Sequence[Column]) -> Table:
    """Describe sessions: needs ``expires_at``."""
    names = _names("sessions", kind, sql, columns, needed=("expires_at",))
    return Table("sessions", _key("sessions", sql, columns), names, label="''", time="expires_at")


def _names(
    table: str, kind: str | None, sql: str | None, columns: Sequence[Column], needed: Sequence[str]
) -> frozenset[str]:
    if kind is None:
        raise UnfitTableError(f"there is no table {table}")
    if sql is not None and sql.upper().startswith("CREATE VIRTUAL"):
        raise UnfitTableError(f"{table} is a virtual table, which can't be worked with")
    if kind != "table":
        raise UnfitTableError(f"{table} is a {kind}, not a table")
    names = frozenset(column.name.lower() for column in columns)
    missing = [name for name in needed if name not in names]
    if missing:
        raise UnfitTableError(f"table {table} has no column {' and no column '.join(missing)}")
    return names


def _key(table: str, sql: str | None, columns: Sequence[Column]) -> str:
    if not _is_without_rowid(sql):
        return _rowid(table, columns)
    keys = [column.name for column in columns if column.key_position]
    if len(keys) != 1:
        raise UnfitTableError(f"table {table} has no rowid and a primary key of {len(keys)} columns")
    quoted = keys[0].replace('"', '""')
    return f'"{quoted}"'


def _rowid(table: str, columns: Sequence[Column]) -> str:
    """Return a name of the rowid that no column has taken (sqlite.org/rowidtable.html)."""
    taken = {column.name.lower() for column in columns}
    name = next((name for name in ("rowid", "_rowid_", "oid") if name not in taken), None)
    if name is None:
        raise UnfitTableError(f"table {table} has columns that hide its rowid")
    return name


def _is_without_rowid(sql: str | None) -> bool:
    return "WITHOUT ROWID" in _options(sql)


def _options(sql: str | None) -> str:
    """Return what follows the last bracket of CREATE TABLE, in upper case."""
    options = _QUOTED_OR_COMMENT.sub(" ", sql or "").rpartition(")")[2]
    return " ".join(options.upper().split())
