"""What the web app's tables look like on the server, and how bangeod's statements are fitted to them.

The schema belongs to the web app: columns may be missing, new, or of another type. All that matters is decided here
once, from what the server's catalogue says of the table, and kept as plain data.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any, Final

from bangeod.store import time_forms, times
from bangeod.store.postgres import queries
from bangeod.store.time_forms import TimeForm

GEO_COLUMNS: Final = ("country_code", "country_name", "asn", "org")
WRITTEN_COLUMNS: Final = (*GEO_COLUMNS, "cached_at", "last_seen")
_NAMES: Final = ("country_name", "org")  # texts that may be cut where a column has no room for all of them
_VERSION: Final = ("place", "version")  # of a row: its ctid and xmin
_KINDS_OF_TABLE: Final = {"v": "view", "m": "materialized view", "f": "foreign table"}
PARTITIONED: Final = "p"


class UnfitTableError(Exception):
    """bangeod can't work with a table; the message says why."""


class Kind(Enum):
    """The types of columns that are told apart."""

    TEXT = "text"
    BYTES = "bytes"
    INTEGER = "integer"
    REAL = "real"
    NUMERIC = "numeric"
    MOMENT = "timestamptz"
    NAIVE = "timestamp"  # without a zone; it is in UTC
    ADDRESS = "address"
    OTHER = "other"


_KINDS: Final = {
    **dict.fromkeys(("text", "varchar", "bpchar", "name", "citext"), Kind.TEXT),
    "bytea": Kind.BYTES,
    **dict.fromkeys(("int2", "int4", "int8"), Kind.INTEGER),
    **dict.fromkeys(("float4", "float8"), Kind.REAL),
    "numeric": Kind.NUMERIC,
    "timestamptz": Kind.MOMENT,
    "timestamp": Kind.NAIVE,
    **dict.fromkeys(("inet", "cidr"), Kind.ADDRESS),
}
_NUMBERS: Final = (Kind.INTEGER, Kind.REAL, Kind.NUMERIC)
_MICROS: Final = {
    Kind.INTEGER: queries.MICROS_OF_INTEGER,
    Kind.REAL: queries.MICROS_OF_REAL,
    Kind.NUMERIC: queries.MICROS_OF_NUMERIC,
    Kind.MOMENT: queries.MICROS_OF_MOMENT,
    Kind.NAIVE: queries.MICROS_OF_MOMENT.replace("+00'", "'"),
}
_FORMS: Final = {
    Kind.INTEGER: time_forms.SECONDS,
    Kind.NUMERIC: time_forms.SECONDS,
    Kind.REAL: TimeForm(time_forms.TimeKind.REAL),
    Kind.MOMENT: time_forms.DEFAULT,
    Kind.NAIVE: time_forms.DEFAULT,  # to the server its Z means nothing there
    Kind.OTHER: time_forms.DEFAULT,
}
_EMPTY: Final = {Kind.TEXT: "''", Kind.BYTES: "''", **dict.fromkeys(_NUMBERS, "0")}
_ROOM_FOR_HEADER: Final = 4  # what a type modifier of varchar(n) is larger than n (pg_type's typtypmod)


@dataclass(frozen=True, slots=True)
class Column:
    """One column as the server's catalogue describes it."""

    name: str
    quoted: str
    kind: Kind
    type: str  # as SQL writes it, without a length
    length: int | None = None  # characters that a text may have
    not_null: bool = False
    default: str | None = None  # an expression in SQL
    is_generated: bool = False  # the server computes it, so that it can't be written

    @classmethod
    def of(  # noqa: PLR0917 - a row of the catalogue
        cls,
        name: str,
        quoted: str,
        base: str,
        written: str,
        modifier: int,
        not_null: bool,
        default: str | None,
        is_generated: bool,
        is_numbered: bool,
    ) -> "Column":
        """Return the column that a row of queries.COLUMNS describes."""
        kind = _KINDS.get(base, Kind.OTHER)
        length = modifier - _ROOM_FOR_HEADER if kind is Kind.TEXT and modifier >= _ROOM_FOR_HEADER else None
        return cls(
            name,
            escaped(quoted),
            kind,
            escaped(written),
            length,
            not_null and not is_numbered,
            escaped(default) if default is not None else None,
            is_generated,
        )

    @property
    def sql(self) -> str:
        """Return the column of the table, which every statement calls ``t``."""
        return f"t.{self.quoted}"

    @property
    def text(self) -> str:
        """Return the SQL of its value as text, exactly. An address has no length of a prefix, where that is whole."""
        return f"concat({self.sql})" if self.kind is Kind.ADDRESS else f"CAST({self.sql} AS text)"

    @property
    def value(self) -> str:
        """Return the SQL of its value as row_values.py takes it."""
        is_plain = self.kind in (Kind.TEXT, Kind.BYTES, Kind.INTEGER, Kind.REAL)
        return self.sql if is_plain else f"CAST({self.sql} AS text)"

    @property
    def micros(self) -> str:
        """Return the SQL of its microseconds since the epoch; of a text, and of a type that is no time, NULL."""
        return _MICROS.get(self.kind, queries.NO_MICROS).format(c=self.sql)

    @property
    def must_be_given(self) -> bool:
        """Say whether no row can be inserted without a value for it."""
        return self.not_null and self.default is None and not self.is_generated

    def same(self, other: str) -> str:
        """Return the SQL that says whether it equals another expression of its type's text."""
        collation = ' COLLATE "C"' if self.kind is Kind.TEXT else ""
        return f"{self.sql}{collation} = CAST({other} AS {self.type})"

    def written(self, value: str) -> str:
        """Return the SQL to write a value, which is itself SQL for a text or NULL.

        In a column of numbers an AS number is a number. A name that is too long is cut. Where NULL is not allowed, the
        column's default stands for it, else an empty value.
        """
        if self.name == "asn" and self.kind in _NUMBERS:
            value = f"substr({value}, 3)"  # without "AS"
        elif self.name in _NAMES and self.length is not None:
            value = f"left({value}, {self.length})"
        value = f"convert_to({value}, 'UTF8')" if self.kind is Kind.BYTES else f"CAST({value} AS {self.type})"
        if not self.not_null:
            return value
        others = [other for other in (self.default and f"({self.default})", _EMPTY.get(self.kind)) if other]
        return f"coalesce({', '.join([value, *others])})" if others else value


@dataclass(frozen=True)
class Table:
    """A table whose rows can be paged through and deleted by age."""

    name: str
    oid: int
    qualified: str  # quoted, with its schema
    columns: Mapping[str, Column]
    key: tuple[Column, ...]  # of a unique index, none of them ever NULL
    time: Column | None  # which gives the row's age
    is_partitioned: bool = False
    may_lock: bool = True  # whether rows may be locked: with permission to update them
    has_places: bool = False  # whether rows can be found by the blocks that hold them

    @cached_property
    def names(self) -> dict[str, str]:
        """Return what the braces of the statements stand for, and is the same in all of them."""
        return {
            "table": self.qualified,
            "seconds_so_far": queries.SECONDS_SO_FAR,
            "key": ", ".join(column.sql for column in self.key),
            "key_texts": ", ".join(f"{column.text} AS k{i}" for i, column in enumerate(self.key)),
            "same_key": " AND ".join(f"{each.sql} = CAST(i.k{i} AS {each.type})" for i, each in enumerate(self.key)),
            "held_keys": ", ".join(f"{column.sql} AS h{i}" for i, column in enumerate(self.key)),
            "has_held_keys": " AND ".join(f"{column.sql} = i.h{i}" for i, column in enumerate(self.key)),
            **self._geo(),
        }

    def _geo(self) -> dict[str, str]:
        ip = self.columns.get("ip")
        if ip is None:
            return {}
        return {
            "ip_text": ip.text,
            "ip_type": ip.type,
            "place": ", ".join(self.place),
            "seen": self.seen("last_seen"),
        }

    @property
    def place(self) -> list[str]:
        """Return the SQL of the four columns of a place, as row_values.py takes them."""
        return [self.columns[name].value if name in self.columns else "NULL" for name in GEO_COLUMNS]

    @property
    def age(self) -> Column:
        """Return the column that gives a row's age; raises UnfitTableError where there is none."""
        if self.time is None:
            raise UnfitTableError("table geo_cache has neither a column last_seen nor cached_at")
        return self.time

    @property
    def label(self) -> str:
        """Return the SQL of the text by which a deleted row is reported."""
        return self.columns["ip"].text if "ip" in self.columns else "''"

    @property
    def is_labelled_by_key(self) -> bool:
        """Say whether the text of a row's key is its label."""
        return [column.name for column in self.key] == ["ip"]

    def sql(self, statement: str, **more: str) -> str:
        """Fill in a statement of queries.py."""
        return statement.format(**self.names, **more)

    def page(self, items: Iterable[str], wanted: str, *, first: bool) -> str:
        """Return the statement that reads a page: for each row its number, whether it is wanted, its key, and these."""
        named = ", ".join(f"{item} AS i{i}" for i, item in enumerate(items))
        return self.sql(queries.PAGE, items=named, wanted=wanted, after=self.after(first=first))

    def of_blocks(self, items: Iterable[str], wanted: str) -> str:
        """Return the statement that reads what some blocks hold: for each row its key, place, version, and these."""
        return self.sql(queries.OF_BLOCKS, items=", ".join(items), wanted=wanted)

    def after(self, *, first: bool) -> str:
        return queries.ALL if first else self._compared(">", "k")

    def upto(self, *, last: bool) -> str:
        return queries.ALL if last else self._compared("<=", "u")

    def _compared(self, operator: str, parameter: str) -> str:
        keys = ", ".join(column.sql for column in self.key)
        values = ", ".join(f"CAST(%({parameter}{i})s AS {column.type})" for i, column in enumerate(self.key))
        return f"({keys}) {operator} ({values})"

    def seen(self, name: str) -> str:
        """Return the SQL of a time, to be understood by what ``micros`` or ``seconds`` return."""
        column = self.columns.get(name)
        if column is None:
            return "NULL"
        return column.text if column.kind is Kind.TEXT else column.micros

    def micros(self, name: str) -> Callable[[Any], int | None]:
        """Return what makes microseconds since the epoch of what ``seen`` has read."""
        return times.read if self._is_text(name) else _as_it_is

    def seconds(self, name: str) -> Callable[[Any], int | None]:
        """Return what makes whole seconds since the epoch of what ``seen`` has read."""
        return times.whole_seconds if self._is_text(name) else _whole_seconds

    def _is_text(self, name: str) -> bool:
        return name in self.columns and self.columns[name].kind is Kind.TEXT

    @cached_property
    def written(self) -> Mapping[str, Column]:
        """Return the columns that bangeod writes."""
        return {
            name: self.columns[name]
            for name in ("ip", *WRITTEN_COLUMNS)
            if name in self.columns and not self.columns[name].is_generated
        }

    @cached_property
    def changeable(self) -> tuple[str, ...]:
        """Return the columns of a row that bangeod may change."""
        return tuple(name for name in self.written if name != "ip")

    @property
    def not_filled(self) -> list[str]:
        """Return the columns for which a new row needs a value that bangeod does not have."""
        return [name for name, column in self.columns.items() if name not in self.written and column.must_be_given]

    def insert(self) -> str:
        """Return the statement that inserts rows, from one array of texts for each column that is written."""
        written = self.written
        return self.sql(
            queries.INSERT,
            columns=", ".join(column.quoted for column in written.values()),
            values=", ".join(column.written(f"i.{name}") for name, column in written.items()),
            arrays=_arrays(written),
            names=", ".join(written),
        )

    def update(self, columns: Sequence[str], *, wait: bool) -> str:
        """Return the statement that changes these columns of rows that are still as they were read.

        A row is found where it was; among the tables of a partitioned one, by its key.
        """
        names = (*self.key_names, *_VERSION, *columns)
        changed = [(self.columns[name], f"i.{name}") for name in columns]
        return self.sql(
            queries.UPDATE,
            arrays=_arrays(names),
            names=", ".join(names),
            held=self.names["held_keys"] if self.is_partitioned else "t.ctid AS h",
            is_same=queries.SAME_VERSION,
            is_held=self.names["has_held_keys"] if self.is_partitioned else "t.ctid = i.h",
            sets=", ".join(f"{column.quoted} = {column.written(value)}" for column, value in changed),
            wait="" if wait else queries.SKIP_LOCKED,
        )

    def delete(self) -> str:
        """Return the statement that deletes rows that are still as they were found.

        A row is found where it was, and known by its version; else by its key, and known by its time.
        """
        return self._of_found(
            queries.DELETE,
            lock=queries.LOCK_DUE if self.may_lock else self.sql(queries.IN_ORDER),
        )

    def still_due(self) -> str:
        """Return the statement that tells which rows are still as they were found."""
        return self._of_found(queries.STILL_DUE)

    def _of_found(self, statement: str, **more: str) -> str:
        names = (*self.key_names, *(_VERSION if self.has_places else ("found",)))
        is_same = queries.SAME_VERSION if self.has_places else self.age.same("i.found")
        return self.sql(statement, arrays=_arrays(names), names=", ".join(names), is_same=is_same, **more)

    @property
    def key_names(self) -> tuple[str, ...]:
        """Return the names of the key's columns in what is given to a statement."""
        return tuple(f"k{i}" for i in range(len(self.key)))


def _as_it_is(micros: int | None) -> int | None:
    return micros


def _whole_seconds(micros: int | None) -> int | None:
    """Return seconds, rounded towards zero."""
    if micros is None:
        return None
    return micros // times.MICROSECONDS if micros >= 0 else -(-micros // times.MICROSECONDS)


def escaped(sql: str) -> str:
    """Return SQL of the server's own for a statement in which a ``%`` begins a placeholder."""
    return sql.replace("%", "%%")


def form_of(column: Column) -> TimeForm | None:
    """Return the form that a column's type demands of a time; None where its rows decide."""
    return _FORMS.get(column.kind)


def _arrays(names: Iterable[str]) -> str:
    return ", ".join(f"CAST(%({name})s AS text[])" for name in names)


def geo_table(relation: "Relation | None", schema: str | None) -> Table:
    """Describe geo_cache: needs ``ip`` and ``country_code``; age by ``last_seen``, else ``cached_at``."""
    found = _checked("geo_cache", relation, schema, ("ip", "country_code"))
    generated = [name for name in ("ip", "country_code") if found.columns[name].is_generated]
    if generated:
        raise UnfitTableError(f"column {generated[0]} of table geo_cache is generated, and can't be written")
    if found.columns["ip"].kind not in (Kind.TEXT, Kind.ADDRESS):
        raise UnfitTableError(f"column ip of table geo_cache is {found.columns['ip'].type}, and neither text nor inet")
    age = next((found.columns[name] for name in ("last_seen", "cached_at") if name in found.columns), None)
    return _table("geo_cache", found, age)


def sessions_table(relation: "Relation | None", schema: str | None) -> Table:
    """Describe sessions: needs ``expires_at``."""
    found = _checked("sessions", relation, schema, ("expires_at",))
    return _table("sessions", found, found.columns["expires_at"])


@dataclass(frozen=True, slots=True)
class Relation:
    """What the server's catalogue says of a table."""

    oid: int
    qualified: str
    kind: str
    may_lock: bool
    columns: Mapping[str, Column]
    keys: Sequence[Sequence[str]]  # columns of each unique index without NULLs, the primary key first
    has_places: bool = False


def _checked(name: str, relation: Relation | None, schema: str | None, needed: Sequence[str]) -> Relation:
    if relation is None:
        raise UnfitTableError(f"there is no table {name}" + (f" in schema {schema}" if schema else ""))
    if relation.kind in _KINDS_OF_TABLE:
        raise UnfitTableError(f"{name} is a {_KINDS_OF_TABLE[relation.kind]}, not a table")
    missing = [column for column in needed if column not in relation.columns]
    if missing:
        raise UnfitTableError(f"table {name} has no column {' and no column '.join(missing)}")
    if not relation.keys:
        raise UnfitTableError(
            f"table {name} has neither a primary key nor another unique index on columns that are NOT NULL: without "
            "one, each look would read the whole table"
        )
    return relation


def _table(name: str, found: Relation, age: Column | None) -> Table:
    """Describe a table; an index on the address alone is better than another, since its rows are looked for by that."""
    key = next((names for names in found.keys if tuple(names) == ("ip",)), found.keys[0])
    return Table(
        name,
        found.oid,
        escaped(found.qualified),
        found.columns,
        tuple(found.columns[column] for column in key),
        age,
        is_partitioned=found.kind == PARTITIONED,
        may_lock=found.may_lock,
        has_places=found.has_places,
    )
