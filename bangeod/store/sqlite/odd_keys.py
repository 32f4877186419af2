"""Odd keys: keys of rows that ``spellings`` does not generate, found without reading the table for each lookup.

IPv6 addresses can be written in too many ways to look for all of them. So the index on the keys is read once, in the
ranges that may hold IPv6 addresses, and later only the rows newer than the newest row of that time. All of it runs on
SQLite's thread, a page at a time.
"""

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from bangeod.addresses import AddressKind, read_address, spellings
from bangeod.store.sqlite import queries
from bangeod.store.sqlite.columns import Table

if TYPE_CHECKING:
    from collections.abc import Callable
    from sqlite3 import Connection

PAGE: Final = 10_000  # keys; some milliseconds
FEW: Final = 2_000  # keys; up to this many are read again whenever others have written
READ_AGAIN: Final = 60.0  # seconds until more keys than that are read again


class _Range(NamedTuple):
    """Keys of the index that are still to be read: after ``after``, before ``until``."""

    after: str
    until: str


class OddKeys:
    """The odd keys of one table, by canonical address. ``monotonic`` returns monotonic seconds."""

    def __init__(self, monotonic: "Callable[[], float]") -> None:
        self._monotonic = monotonic
        self._keys: dict[str, dict[str, None]] = {}
        self._ranges: deque[_Range] | None = None  # None: never begun
        self._read = 0  # how many keys, the last time that all were read
        self._began = 0.0
        self._newest: tuple[int, str | None] = (0, None)  # the row up to which all keys are known, and its key
        self._commits = 0  # commits of others when all keys were last read

    def of(self, ips: Iterable[str]) -> list[str]:
        """Return the odd keys of canonical addresses."""
        return [key for ip in ips for key in self._keys.get(ip, ())] if self._keys else []

    def catch_up(self, connection: "Connection", table: Table, ips: Iterable[str]) -> bool:
        """Read on; return whether all keys that these addresses need are known, so that ``of`` can answer.

        Reads no more than a page at a time.
        """
        if not any(":" in ip for ip in ips) and not connection.execute(queries.HAS_MAPPED_OTHERWISE).fetchone()[0]:
            return True
        if self._ranges is None or (not self._ranges and self._is_due_again(connection, table)):
            self._begin(connection, table)
        if self._ranges:
            self._read_range(connection, self._ranges)
            return not self._ranges
        return not table.has_rowid or self._read_new(connection, table)

    def _is_due_again(self, connection: "Connection", table: Table) -> bool:
        """Say whether all keys must be read again, since there may be new rows that are not the newest ones."""
        if self._read > FEW and self._monotonic() - self._began < READ_AGAIN:
            return False
        if not table.has_rowid:
            return _commits_of_others(connection) != self._commits
        row, key = self._newest  # once that row is deleted, a new row may have its number
        return _key_of(connection, table, row) != key

    def _begin(self, connection: "Connection", table: Table) -> None:
        self._commits = _commits_of_others(connection)
        if table.has_rowid:
            row = connection.execute(table.sql(queries.NEWEST_ROW)).fetchone()[0] or 0
            self._newest = row, _key_of(connection, table, row)
        self._began, self._read = self._monotonic(), 0
        self._ranges = deque(_Range(*limits) for limits in queries.KEY_RANGES)

    def _read_range(self, connection: "Connection", ranges: deque[_Range]) -> None:
        after, until = ranges[0]
        parameters = {"after": after, "until": until, "limit": PAGE}
        upto, count = connection.execute(queries.RANGE_END, parameters).fetchone()
        if count:
            self._note(connection, queries.RANGE_ODD_KEYS, after, upto)
        self._read += count
        ranges.popleft()
        if count == PAGE and type(upto) is str and upto.encode(errors="replace").decode() > after:
            ranges.appendleft(_Range(upto, until))

    def _read_new(self, connection: "Connection", table: Table) -> bool:
        """Read the rows after the newest known row; return whether those were all."""
        after, _ = self._newest
        parameters = {"after": after, "limit": PAGE}
        upto, count = connection.execute(table.sql(queries.PAGE_END), parameters).fetchone()
        if not count:
            return True
        self._note(connection, table.sql(queries.LATER_ODD_KEYS), after, upto)
        self._newest = upto, _key_of(connection, table, upto)
        return bool(count < PAGE)

    def _note(self, connection: "Connection", statement: str, after: object, upto: object) -> None:
        for (key,) in connection.execute(statement, {"after": after, "upto": upto}):
            kind, ip = read_address(key)
            if kind is AddressKind.GLOBAL and key not in spellings(ip):
                self._keys.setdefault(ip, {})[key] = None


def _key_of(connection: "Connection", table: Table, row: int) -> str | None:
    found = connection.execute(table.sql(queries.KEY_OF_ROW), {"upto": row}).fetchone()
    return str(found[0]) if found else None


def _commits_of_others(connection: "Connection") -> int:
    commits: int = connection.execute(queries.COMMITS_OF_OTHERS).fetchone()[0]
    return commits
