"""Deleting rows by key, a slice a statement: what another transaction has locked is passed over, what is refused stays.

A foreign key, a trigger or a policy may hold a row back: then the statement fails and has done nothing, so half of the
slice is tried, and so on down to the row that it is about; or the row stays without an error (a trigger that returns
NULL, a policy that hides it from DELETE). A row that somebody has locked or changed since it was found is neither gone
nor refused: the next run finds it again, if it is still due.
"""

from collections.abc import Collection, Sequence
from typing import Any, Final

from bangeod.errors import StoreRefusedError
from bangeod.store.port import Deleted, Refusal
from bangeod.store.postgres import faults
from bangeod.store.postgres.columns import Kind, Table
from bangeod.store.postgres.session import Session
from bangeod.store.postgres.slicing import slice_size
from bangeod.store.sweep import Due, HeldBack

IGNORED: Final = "a trigger or a policy of the database's keeps it, without an error"
SHOWN_OF_KEY: Final = 4  # characters; a session's key may be its token


class Removal:
    """Deletes rows of one table that still have the time with which they were found.

    Rows that the database keeps are noted in ``held_back``, and their keys in ``stays``.
    """

    def __init__(
        self,
        session: Session,
        table: Table,
        longest: float,
        held_back: HeldBack,
        stays: set[object] | None = None,
    ) -> None:
        self._session = session
        self._table = table
        self._size = slice_size(longest)
        self._statement = table.delete()
        self.held_back = held_back
        self._stays = stays

    @property
    def size(self) -> int:
        return self._size.size

    async def delete(self, chunk: Sequence[Due]) -> tuple[Deleted, int]:
        """Commit one slice from the start of ``chunk``; return what was deleted, and how many rows are done with."""
        while True:
            try:
                found = await self._session.run(self._statement, self._values(chunk))
            except StoreRefusedError as error:
                if len(chunk) == 1:
                    return self._refused(chunk[0], faults.reason(error.__cause__)), 1
                self._size.refused(len(chunk))
                chunk = chunk[: self._size.size]
            else:
                ((tried, deleted, took, _),) = found
                self._size.measured(len(chunk), took)
                gone = {*(deleted or ())}
                kept = {*(tried or ())} - gone
                if kept and not self._table.may_lock:  # others may have changed it before it was waited for
                    still = await self._session.run(self._table.still_due(), self._values(chunk))
                    kept &= {number for (number,) in still}
                return self._settled(chunk, gone, kept), len(chunk)

    def leave(self, rows: Sequence[Due]) -> Deleted:
        """Count rows that were held back in an earlier run and are not tried in this one."""
        if self._stays is not None:
            self._stays.update(due.key for due in rows)
        return Deleted((), refused=len(rows), refusal=self.held_back.example)

    def _values(self, chunk: Sequence[Due]) -> dict[str, object]:
        keys: list[Any] = [due.key for due in chunk]
        arrays = {name: [key[i] for key in keys] for i, name in enumerate(self._table.key_names)}
        if not self._table.has_places:
            return {**arrays, "found": [due.version for due in chunk]}
        versions: list[Any] = [due.version for due in chunk]
        return {**arrays, "place": [place for place, _ in versions], "version": [version for _, version in versions]}

    def _settled(self, chunk: Sequence[Due], gone: Collection[int], kept: Collection[int]) -> Deleted:
        """Tell of the rows with these numbers, from 1 on."""
        keys = [chunk[number - 1].label for number in sorted(gone)]
        if self.held_back:
            for number in gone:
                self.held_back.discard(chunk[number - 1].key)
        refused = [self._note(chunk[number - 1], IGNORED) for number in sorted(kept)]
        return Deleted(keys, refused=len(refused), refusal=refused[0] if refused else None)

    def _refused(self, due: Due, problem: str) -> Deleted:
        return Deleted((), refused=1, refusal=self._note(due, problem))

    def _note(self, due: Due, problem: str) -> Refusal:
        refusal = Refusal(self._name(due), problem)
        self.held_back.add(due.key, refusal)
        if self._stays is not None:
            self._stays.add(due.key)
        return refusal

    def _name(self, due: Due) -> str:
        """Name a row so that a person finds it, but never by a whole key that may be a secret."""
        if due.label:
            return due.label
        key: Any = due.key
        named = zip(self._table.key, key, strict=True)
        return ", ".join(f"{column.name} = {_shown(column.kind, value)}" for column, value in named)


def _shown(kind: Kind, value: str) -> str:
    return value if kind is Kind.INTEGER else repr(value[:SHOWN_OF_KEY] + "…")
