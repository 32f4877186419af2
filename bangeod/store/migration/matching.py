"""Which columns are copied: those that both sides have. Policy, without a database.

Either schema is somebody's own. What only one side has is no reason to stop, unless the server asks for a value that
the file does not have.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from bangeod.store.migration.values import TIMES, CopiedColumn
from bangeod.store.postgres.columns import Column, Kind, Table, escaped
from bangeod.store.time_forms import TimeForm

KEY_OF_GEO: Final = "ip"
TOKEN: Final = "token"  # noqa: S105 - a column's name
EXPIRY: Final = "expires_at"


class UnmatchedError(Exception):
    """Rows can't be copied between two tables: what is in the way, and what to do."""

    def __init__(self, problem: str, advice: str) -> None:
        self.problem = problem
        self.advice = advice
        super().__init__(problem)


class Numbering(NamedTuple):
    """The sequence that numbers a column."""

    oid: str
    name: str
    may_set: bool


@dataclass(frozen=True)
class Details:
    """What the server's catalogue says of a table's columns besides, by name."""

    types: Mapping[str, str]  # with their lengths and precisions
    numbered: Mapping[str, Numbering]
    always_numbered: Collection[str] = ()  # identity columns that are generated, unless it is overridden
    forms: Mapping[str, TimeForm | None] | None = None  # of the times in columns of text


@dataclass(frozen=True)
class Matched:
    """The columns to copy, and by which of them (numbers) rows are recognised."""

    columns: Sequence[CopiedColumn]
    identity: Sequence[int]
    notes: Sequence[str]  # about what is not copied


def match(source: Sequence[str], table: Table, details: Details) -> Matched:
    """Find the columns that both have. Raises UnmatchedError."""
    by_name = {name.lower(): name for name in table.columns} | {name: name for name in table.columns}
    pairs = {
        by_name[key]: name for name in source for key in [name if name in by_name else name.lower()] if key in by_name
    }
    notes = [f"column {name} is only in the file" for name in source if name not in pairs.values()]
    for name in list(pairs):
        if why := _not_copied(table, name, details):
            notes.append(f"column {name} {why}")
            del pairs[name]
    _refuse_unfilled(table, pairs)
    identity = _identity(table, pairs)
    columns = [
        CopiedColumn(
            source=pairs[name],
            column=column,
            type=escaped(details.types[name]),
            form=(details.forms or {}).get(name),
            is_key=name in identity,
            may_be_empty=table.name == "geo_cache",
        )
        for name, column in table.columns.items()
        if name in pairs
    ]
    return Matched(columns, [n for n, column in enumerate(columns) if column.name in identity], notes)


def _not_copied(table: Table, name: str, details: Details) -> str:
    """Say why a column is left to the server."""
    if name in details.always_numbered or name in details.numbered:
        return "is numbered by the server itself" if table.name == "geo_cache" else ""
    return "is computed by the server itself" if table.columns[name].is_generated else ""


def _refuse_unfilled(table: Table, pairs: Collection[str]) -> None:
    lacking = [name for name, column in table.columns.items() if column.must_be_given and name not in pairs]
    if lacking:
        names = " and ".join(lacking)
        verb = "is NOT NULL and has no default" if len(lacking) == 1 else "are NOT NULL and have no default"
        raise UnmatchedError(
            f"table {table.name} takes no row of the file's: {names} {verb}, and the file has no such column",
            f"give it a default for the copy (ALTER TABLE {table.name} ALTER COLUMN {lacking[0]} SET DEFAULT …), or "
            "let it be NULL",
        )


def _identity(table: Table, pairs: Collection[str]) -> Sequence[str]:
    if table.name == "geo_cache":
        if [column.name for column in table.key] != [KEY_OF_GEO]:
            raise UnmatchedError(
                "column ip of table geo_cache has no unique index of its own, by which a row could be found",
                "make it the primary key, or NOT NULL with a unique index, as it is in the file",
            )
        return [KEY_OF_GEO]
    if TOKEN in pairs and table.columns[TOKEN].kind in (Kind.TEXT, Kind.BYTES, Kind.OTHER):
        return [TOKEN]
    names = [column.name for column in table.key]
    if not set(names) <= set(pairs):
        raise UnmatchedError(
            f"sessions can't be recognised on both sides: neither column token nor {' and '.join(names)} is on both",
            "let the web app's migration give both the same columns",
        )
    return names


def times_in_text(source: Collection[str], columns: Mapping[str, Column]) -> Sequence[str]:
    """Return the columns of text in which both sides have times."""
    there = {name.lower() for name in source}
    return [name for name, column in columns.items() if name in TIMES & there and column.kind is Kind.TEXT]
