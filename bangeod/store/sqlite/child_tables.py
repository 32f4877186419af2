"""Tables with foreign keys to geo_cache or sessions: each deletion searches them for rows that depend on its row."""

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from bangeod.store.sqlite import queries

if TYPE_CHECKING:
    from sqlite3 import Connection

PARENTS = frozenset({"geo_cache", "sessions"})
FOLLOWS = "CASCADE"  # deletes the child's rows too, so tables that refer to the child are searched as well


class ForeignKey(NamedTuple):
    """A foreign key of ``child``, by its columns."""

    child: str
    columns: tuple[str, ...]
    parent: str
    on_delete: str


def without_index(connection: "Connection") -> list[ForeignKey]:
    """Find the foreign keys for which each deletion reads the whole child table, since no index leads to its rows."""
    keys = list(_foreign_keys(connection))
    parents, known = PARENTS, frozenset[str]()
    while parents != known:
        known = parents
        followers = (key.child.lower() for key in keys if key.parent.lower() in known and key.on_delete == FOLLOWS)
        parents = known.union(followers)
    return [key for key in keys if key.parent.lower() in parents and _is_scanned(connection, key)]


def _foreign_keys(connection: "Connection") -> Iterator[ForeignKey]:
    columns = connection.execute(queries.FOREIGN_KEYS_OF_ALL).fetchall()
    for (child, _), found in groupby(columns, key=lambda column: (column[0], column[1])):
        rows = list(found)
        _, _, _, parent, on_delete = rows[0]
        yield ForeignKey(child, tuple(row[2] for row in rows), parent, on_delete)


def _is_scanned(connection: "Connection", key: ForeignKey) -> bool:
    """Ask SQLite how it finds the rows of a parent; it may use an index that is not obvious."""
    where = " AND ".join(f"{quoted(column)} = ?" for column in key.columns)
    plan = connection.execute(
        queries.PLAN_OF_CHILD.format(child=quoted(key.child), where=where), [None] * len(key.columns)
    )
    return any(detail.startswith("SCAN") for *_, detail in plan.fetchall())


def quoted(name: str) -> str:
    """Quote a name for SQL."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'
