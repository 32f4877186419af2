"""Finding the rows past their time: a walk over the whole table, in the order in which its blocks hold them.

By its key a large table would be read in random order, each block many times. Of what is not one heap, a partitioned
table say, or where the server can't, it is the walk by key all the same. Between two pages nothing is held.

A row that is changed meanwhile may move to a block that has been passed, or that is still to come: it is found by the
next run then, or twice, of which the second time decides.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final, NamedTuple

from bangeod.clock import to_text
from bangeod.store.postgres import queries
from bangeod.store.postgres.ahead import ahead
from bangeod.store.postgres.columns import Kind, Table
from bangeod.store.postgres.session import Session, Values
from bangeod.store.postgres.walking import MANY, parts
from bangeod.store.sweep import Due, DuePage
from bangeod.store.times import MICROSECONDS

FIRST_BLOCKS: Final = 8  # of mostly some 60 rows each
MOST_BLOCKS: Final = 256  # 2 MB: some milliseconds of the server's
LAST_SECOND: Final = 253_402_300_799  # of the year 9999
LONGEST_EXAMPLE: Final = 80  # characters


class Blocks(NamedTuple):
    """Some of a table's blocks, by their numbers; ``end`` is none of them any more."""

    first: int
    end: int

    @property
    def bounds(self) -> Values:
        """Return the places at which they begin and end."""
        return {"first": f"({self.first},0)", "end": f"({self.end},0)"}

    def divided(self, parts: int) -> "list[Blocks]":
        """Return them in so many parts, or fewer."""
        step = max(1, -(-(self.end - self.first) // parts))
        return [Blocks(first, min(first + step, self.end)) for first in range(self.first, self.end, step)]


def next_blocks(blocks: int, found: int, *, many: int = MANY) -> int:
    """Return how many blocks to read after ``blocks`` of them had ``found`` rows: for ``many`` at most, as it seems."""
    wanted = blocks * many // found if found else MOST_BLOCKS
    return max(1, min(wanted, 2 * blocks, MOST_BLOCKS))


async def pages(
    session: Session, table: Table, before: int, among: Sequence[Blocks] | None = None
) -> AsyncGenerator[DuePage, None]:
    """Yield the rows whose time is earlier than ``before`` (microseconds), and how many have none that can be read.

    They are those of the whole table, or, where it has places, ``among`` some blocks.
    """
    time = table.age
    is_text = time.kind is Kind.TEXT
    wanted = (queries.DUE_TEXT if is_text else queries.DUE).format(c=time.sql, micros=time.micros)
    values = {"day": _day(before)} if is_text else {"before": before}
    labels = [] if table.is_labelled_by_key else [table.label]
    items = [*labels, time.text, *([] if is_text else [time.micros])]
    if table.has_places:
        spans = [Blocks(0, await end_of(session, table))] if among is None else among
        walk = _by_block(session, table.of_blocks(items, wanted), values, spans)
    else:
        walk = _by_key(session, table, items, wanted, values)
    async with aclosing(ahead(_read(table, before, walk))) as found:
        async for page in found:
            yield page


async def _read(
    table: Table, before: int, found: AsyncGenerator[Sequence[tuple[Any, ...]], None]
) -> AsyncGenerator[DuePage, None]:
    async with aclosing(found):
        async for rows in found:
            yield _page(table, before, rows)


async def _by_block(
    session: Session, statement: str, values: Values, spans: Sequence[Blocks]
) -> AsyncGenerator[Sequence[tuple[Any, ...]], None]:
    """Yield the rows that are wanted: of each the key, the place, the version, and the items."""
    size = FIRST_BLOCKS
    for first, end in spans:
        start = first
        while start < end:
            page = Blocks(start, min(start + size, end))
            rows = await session.run(statement, {**values, **page.bounds}, again=True)
            yield rows
            start = page.end
            size = next_blocks(size, len(rows))


async def end_of(session: Session, table: Table) -> int:
    """Return how many blocks a table has; raises StoreError."""
    ((end,),) = await session.run(queries.BLOCKS, {"table": table.oid}, again=True)
    return int(end)


async def _by_key(
    session: Session, table: Table, items: Sequence[str], wanted: str, values: Values
) -> AsyncGenerator[Sequence[tuple[Any, ...]], None]:
    """Yield the rows that are wanted: of each the key, and the items."""
    async with aclosing(parts(session, table, items, wanted=wanted, values=values, size=MANY)) as found:
        async for part in found:
            yield part.rows


def _page(table: Table, before: int, found: Sequence[tuple[Any, ...]]) -> DuePage:
    """Read the times of rows, as far as the server has not done so."""
    width, read = len(table.key), table.micros(table.age.name)
    is_text, has_places, has_label = table.age.kind is Kind.TEXT, table.has_places, not table.is_labelled_by_key
    raw_at = -1 if is_text else -2
    rows: list[Due] = []
    unreadable, example = 0, None
    for row in found:
        micros = read(row[-1])
        if micros is None:
            unreadable += 1
            example = example or repr(row[raw_at])[:LONGEST_EXAMPLE]
        elif micros < before:
            label = row[raw_at - 1] if has_label else row[0]
            rows.append(Due(row[:width], label, micros, row[width : width + 2] if has_places else row[raw_at]))
    return DuePage(rows, unreadable, example)


def _day(micros: int) -> str:
    """Return the day of a moment, in the years that a text can name: no later day is before the moment."""
    return to_text(min(max(micros // MICROSECONDS, 0), LAST_SECOND))[:10]
