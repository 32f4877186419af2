"""Deleting rows by key: rows that the database refuses to delete are set aside, and the deletion goes on.

A foreign key or a trigger may hold a row back, and does so in several ways: the statement fails, the transaction is
rolled back with it (RAISE(ROLLBACK)), it can't be committed (a deferred key), or the row stays without an error
(RAISE(IGNORE)). Usually no row is held back, so a slice is first tried as a whole; then row by row within one
transaction; and if that fails too, each row in its own transaction. The next slice starts in the manner that this one
needed, since rows that stay usually come in numbers.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from bangeod.errors import StoreRefusedError
from bangeod.store.port import Deleted, Refusal
from bangeod.store.sqlite import faults, queries
from bangeod.store.sqlite.columns import Table
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.slicing import SliceWriter
from bangeod.store.sweep import Due, HeldBack

if TYPE_CHECKING:
    from sqlite3 import Connection

IGNORED = "a trigger of the database's keeps it, without an error"  # RAISE(IGNORE)
LONGEST_PROBLEM = 200  # characters of a trigger's message
SHOWN_OF_KEY = 4  # characters; a session's key may be its token


class Fate(NamedTuple):
    """What became of a row. If another process has deleted or renewed it meanwhile, it is neither gone nor refused."""

    is_gone: bool = False
    refused: str | None = None  # why it stays


class Manner(IntEnum):
    """How a slice is deleted, the quickest first."""

    WHOLE = 0
    ROW_BY_ROW = 1
    APART = 2


class Removal:
    """Deletes rows of one table that are still as old as when they were found: a newer row may have the key by now.

    ``before`` is in microseconds. Rows that the database keeps are noted in ``held_back``, and their keys in ``stays``.
    """

    def __init__(
        self,
        table: Table,
        writer: SliceWriter,
        before: int,
        held_back: HeldBack,
        stays: set[object] | None = None,
    ) -> None:
        self._key = table.key
        self._delete_all_due = table.sql(queries.DELETE_ALL_DUE)
        self._delete_all_unchanged = table.sql(queries.DELETE_ALL_UNCHANGED)
        self._delete_one = table.sql(queries.DELETE_DUE)
        self._still_due = table.sql(queries.STILL_DUE)
        self._writer = writer
        self._before = before
        self.held_back = held_back
        self._stays = stays
        self._manner = Manner.WHOLE
        self._wary = 0  # how many more rows before a quicker manner is tried again

    @property
    def size(self) -> int:
        return self._writer.size

    async def delete(self, chunk: Sequence[Due]) -> tuple[Deleted, int]:
        """Commit one slice from the start of ``chunk``; return what was deleted, and how many rows are done with."""
        fates = await self._settle(chunk)
        keys, refused = [], []
        for due, fate in zip(chunk, fates, strict=False):
            if fate.refused is not None:
                refused.append(Refusal(self._name(due), fate.refused[:LONGEST_PROBLEM]))
                self.held_back.add(due.key, refused[-1])
                if self._stays is not None:
                    self._stays.add(due.key)
                continue
            self.held_back.discard(due.key)
            if fate.is_gone:
                keys.append(due.label)
        self._wary -= len(fates)
        if self._wary <= 0 and not refused:
            self._manner = Manner.WHOLE
        return Deleted(keys, refused=len(refused), refusal=refused[0] if refused else None), len(fates)

    def leave(self, rows: Sequence[Due]) -> Deleted:
        """Count rows that were held back in an earlier run and are not tried in this one."""
        if self._stays is not None:
            self._stays.update(due.key for due in rows)
        return Deleted((), refused=len(rows), refusal=self.held_back.example)

    async def _settle(self, chunk: Sequence[Due]) -> Sequence[Fate]:
        """Delete the first rows in the quickest manner that tells their fates; return these."""
        while True:
            try:
                return await self._writer.write_some(self._work(chunk), apart=self._manner is Manner.APART)
            except (_UnsettledError, StoreRefusedError):  # StoreRefusedError comes from the commit
                if self._manner is Manner.APART:
                    raise
                self._manner, self._wary = Manner(self._manner + 1), len(chunk)

    def _work(self, chunk: Sequence[Due]) -> "Callable[[Connection], list[Fate]]":
        match self._manner:
            case Manner.WHOLE if all(type(due.key) is int for due in chunk):  # other keys need not fit into JSON
                return self._all_at_once(chunk)
            case Manner.WHOLE:
                return lambda connection: self._each(connection, chunk, self._plainly)
            case Manner.ROW_BY_ROW:
                return lambda connection: self._each(connection, chunk, self._within_savepoint)
            case Manner.APART:
                return lambda connection: self._each(connection, chunk, self._within_transaction)

    def _all_at_once(self, chunk: Sequence[Due]) -> "Callable[[Connection], list[Fate]]":
        """Delete all, or nothing if a row stays, is gone, or has another time by now.

        A single statement runs without Python's lock. Otherwise the write lock would be held while the event loop has
        Python's lock.
        """
        keys, times = _json(due.key for due in chunk), {due.version for due in chunk}
        if any(type(time) is float for time in times):  # in JSON it may lose its last digits
            statement, parameters = self._delete_all_due, {"keys": keys, "before": self._before}
        else:
            statement, parameters = self._delete_all_unchanged, {"keys": keys, "times": _json(times)}

        def work(connection: "Connection") -> list[Fate]:
            with _unsettling():
                count = connection.execute(statement, parameters).rowcount
            if count != len(chunk):
                raise _UnsettledError
            return [Fate(is_gone=True)] * count

        return work

    def _each(
        self, connection: "Connection", chunk: Sequence[Due], attempt: "Callable[[Connection, Due], Fate]"
    ) -> list[Fate]:
        """Delete one row after the other, as long as the lock may be held."""
        if self._manner is not Manner.WHOLE:  # a fault of the schema concerns all rows
            # Compiles the statement, which deletes nothing. Not EXPLAIN: SQLite crashes on one that Python cached if a
            # trigger has changed since.
            connection.execute(self._delete_one, {"key": None, "before": 0})
        until = time.perf_counter() + self._writer.longest
        fates: list[Fate] = []
        for due in chunk:
            try:
                fates.append(attempt(connection, due))
            except engine.Error:
                if self._manner is not Manner.APART or not fates:
                    raise
                break  # what was deleted is committed, and the next slice meets the error again
            if self._manner is not Manner.WHOLE and time.perf_counter() > until:
                break
        return fates

    def _plainly(self, connection: "Connection", due: Due) -> Fate:
        with _unsettling():
            fate = self._delete(connection, due)
        if not fate.is_gone:
            raise _UnsettledError
        return fate

    def _within_savepoint(self, connection: "Connection", due: Due) -> Fate:
        """Delete a row; if that is refused, undo what it has already done: RAISE(FAIL) leaves that in place."""
        connection.execute(queries.SAVEPOINT)
        try:
            fate = self._delete(connection, due)
        except engine.Error as error:
            if not _is_refusal(error):
                raise
            if not connection.in_transaction:  # RAISE(ROLLBACK): the rows deleted before it are restored
                raise _UnsettledError from error
            connection.execute(queries.ROLLBACK_TO_SAVEPOINT)
            fate = Fate(refused=str(error))
        connection.execute(queries.RELEASE_SAVEPOINT)
        return fate

    def _within_transaction(self, connection: "Connection", due: Due) -> Fate:
        connection.execute(queries.BEGIN)
        try:
            fate = self._delete(connection, due)
            connection.execute(queries.COMMIT)
        except engine.Error as error:
            if connection.in_transaction:
                connection.execute(queries.ROLLBACK)
            if not _is_refusal(error):
                raise
            return Fate(refused=str(error))
        return fate

    def _delete(self, connection: "Connection", due: Due) -> Fate:
        parameters = {"key": due.key, "before": self._before}
        if connection.execute(self._delete_one, parameters).rowcount:
            return Fate(is_gone=True)
        still_due = connection.execute(self._still_due, parameters).fetchone()
        return Fate(refused=IGNORED if still_due else None)

    def _name(self, due: Due) -> str:
        """Name a row so that a person finds it, but never by a whole key that may be a secret."""
        if due.label:
            return due.label
        key = due.key if isinstance(due.key, int) else repr(str(due.key)[:SHOWN_OF_KEY] + "…")
        return f"{self._key} = {key}"


def _json(values: Iterable[object]) -> str:
    return msgspec.json.encode(list(values)).decode()


class _UnsettledError(Exception):
    """Not all rows were deleted, and this manner can't tell which were not."""


@contextlib.contextmanager
def _unsettling() -> Iterator[None]:
    """Turn the refusal of a row into _UnsettledError."""
    try:
        yield
    except engine.Error as error:
        if not _is_refusal(error):
            raise
        raise _UnsettledError from error


def _is_refusal(error: Exception) -> bool:
    """Say whether the error is about a row: a constraint, or an error in a trigger."""
    return faults.code(error) & 0xFF in faults.ABOUT_A_ROW
