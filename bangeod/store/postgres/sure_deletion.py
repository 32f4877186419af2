"""Deleting the rows that are past their time beyond doubt: by what the server itself can say, a statement a slice.

Of what some blocks hold, the server tells in two texts which rows are due, and the times of the others; that these are
times is seen here, a page at a time. Then it deletes what is due there, but for the rows that are to stay, and those
that were changed since. Where a time is in doubt, where others hold a lock, or the database keeps a row, the whole of
the blocks is left to the deletion that looks at each row (due_rows.py, row_removal.py).
"""

import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bangeod.clock import to_text
from bangeod.errors import StoreRefusedError
from bangeod.store.port import Deleted
from bangeod.store.postgres import queries
from bangeod.store.postgres.ahead import ahead
from bangeod.store.postgres.columns import Kind, Table
from bangeod.store.postgres.due_rows import FIRST_BLOCKS, LAST_SECOND, Blocks, end_of, next_blocks
from bangeod.store.postgres.slicing import slice_size
from bangeod.store.times import MICROSECONDS

if TYPE_CHECKING:
    from bangeod.store.postgres.session import Session

# Of the forms of times.py the usual one, in UTC, on a day that every such year has.
_DAY: Final = (
    "(?!0000)[0-9]{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
)
_TIME: Final = rf"{_DAY}[T ](?:[01][0-9]|2[0-3])(?::[0-5][0-9]){{2}}(?:\.[0-9]{{1,6}})?(?:Z|\+00:00)?"
_DUE_TEXTS: Final = re.compile(rf"(?>[^\n]*\n{_TIME}\n)*+")
_OTHER_TEXTS: Final = re.compile(rf"(?>{_TIME}\n)*+")
_DUE_NUMBERS: Final = re.compile(r"(?>[^\n]*\n-?[0-9]+\n)*+")
_OTHER_NUMBERS: Final = re.compile(r"(?>-?[0-9]+\n)*+")
PAGES_AHEAD: Final = 2  # slices that a page has, as it seems: one is read while the one before is worked on


class Page(NamedTuple):
    """What some blocks hold."""

    blocks: Blocks
    horizon: str  # the number of a transaction: what was written before it is as it was read
    file: int  # the number of the table's: a VACUUM FULL makes a new one, with rows in other places
    due: Sequence[str]  # the keys of the rows that go
    kept: Sequence[str]  # and of those that are as old, and stay


class SureDeletion:
    """Deletes rows of one table; what is left to do when the walk has ended is in ``rest``.

    ``before`` is in microseconds, ``longest`` in seconds.
    """

    def __init__(self, reader: "Session", writer: "Session", table: Table, before: int, longest: float) -> None:
        self._reader = reader
        self._writer = writer
        self._table = table
        self._is_text = table.age.kind is Kind.TEXT
        self._values: Mapping[str, Any] = moment(before) if self._is_text else {"before": before}
        self._size = slice_size(longest)
        self.rest: list[Blocks] = []

    @staticmethod
    def is_possible(table: Table, before: int) -> bool:
        """Say whether rows of a table can be deleted so: locked, and known by a key that is their label, too."""
        is_known = len(table.key) == 1 and (table.is_labelled_by_key or "ip" not in table.columns)
        return is_known and table.has_places and table.may_lock and 0 <= before <= LAST_SECOND * MICROSECONDS

    async def walk(self, goes: Callable[[str], bool]) -> AsyncGenerator[Deleted, None]:
        """Delete the rows for whose labels ``goes`` is true, a slice a statement."""
        statement = self._sql(queries.DELETE_SURE)
        async with aclosing(ahead(self._pages(goes))) as pages:
            async for page in pages:
                if page.due:
                    async for deleted in self._delete(statement, page):
                        yield deleted

    async def _pages(self, goes: Callable[[str], bool]) -> AsyncGenerator[Page, None]:
        statement = self._sql(queries.SURE_OF_BLOCKS)
        end = await end_of(self._reader, self._table)
        first, size = 0, FIRST_BLOCKS
        while first < end:
            blocks = Blocks(first, min(first + size, end))
            values = {**self._values, **blocks.bounds, "table": self._table.oid}
            ((due, others, horizon, file),) = await self._reader.run(statement, values, again=True)
            keys = self._keys(due or "", others or "")
            if keys is None:
                self._leave(blocks)
            else:
                stay = [key for key, label in zip(keys, self._labels(keys), strict=True) if not goes(label)]
                kept = set(stay)
                due_keys = [key for key in keys if key not in kept] if kept else keys
                yield Page(blocks, horizon, file, due_keys, stay)
            first = blocks.end
            size = next_blocks(size, len(keys or ()), many=PAGES_AHEAD * self._size.size)

    def _keys(self, due: str, others: str) -> Sequence[str] | None:
        if self._is_text:
            return keys_of_texts(due, others, **self._values)
        return keys_of_numbers(due, others)

    async def _delete(self, statement: str, page: Page) -> AsyncGenerator[Deleted, None]:
        parts = page.blocks.divided(-(-len(page.due) // self._size.size))
        expected = len(page.due) if len(parts) == 1 else None
        values = {
            **self._values,
            "table": self._table.oid,
            "horizon": page.horizon,
            "file": page.file,
            "kept": page.kept,
            "expected": expected,
        }
        gone = 0
        for blocks in parts:
            try:
                ((count, keys, took, _),) = await self._writer.run(statement, {**values, **blocks.bounds})
            except StoreRefusedError:  # of which row, is found out one by one
                self._size.refused(self._size.size)
                break
            self._size.measured(count, took)
            gone += count
            if count:
                yield Deleted(self._labels(page.due if keys is None else keys))
        if gone != len(page.due):
            self._leave(page.blocks)

    def _labels(self, keys: Sequence[str]) -> Sequence[str]:
        return keys if self._table.is_labelled_by_key else [""] * len(keys)

    def _leave(self, blocks: Blocks) -> None:
        if self.rest and self.rest[-1].end == blocks.first:
            blocks = Blocks(self.rest.pop().first, blocks.end)
        self.rest.append(blocks)

    def _sql(self, statement: str) -> str:
        table = self._table
        (key,), time = table.key, table.age
        is_due = queries.SURELY_DUE_TEXT if self._is_text else queries.SURELY_DUE
        stored = time.text if self._is_text else f"CAST({time.micros} AS text)"
        return table.sql(
            statement,
            is_due=is_due.format(c=time.sql, micros=time.micros),
            key_text=key.text,
            stored=f"coalesce({stored}, '')",  # an empty text is no time, either
        )


def moment(micros: int) -> dict[str, str]:
    """Return the day and the time of day of a moment, in UTC, as texts to compare with."""
    text = to_text(micros // MICROSECONDS)
    return {"day": text[:10], "time": text[11:19]}


def keys_of_texts(due: str, others: str, *, day: str, time: str) -> Sequence[str] | None:
    """Return the keys of the rows that are due; None where it is in doubt of any row whether it is.

    ``due`` has a line for the key and one for the time of each row that is due, by its text; ``others`` one for the
    time of each other row.
    """
    if not _DUE_TEXTS.fullmatch(due) or not _OTHER_TEXTS.fullmatch(others):
        return None
    if f"{day}T{time}" in others or f"{day} {time}" in others:  # what is of the very second may be due as well
        return None
    return due.split("\n")[:-1:2]


def keys_of_numbers(due: str, others: str) -> Sequence[str] | None:
    """Return the same of times that are microseconds."""
    if not _DUE_NUMBERS.fullmatch(due) or not _OTHER_NUMBERS.fullmatch(others):
        return None
    return due.split("\n")[:-1:2]
