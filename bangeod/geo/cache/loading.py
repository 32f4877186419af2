"""Loading: the rows of the table are taken into memory, page by page, while all else goes on.

A page is old as soon as it is read. What memory has learned or written since then is newer, and a row that was deleted
since then must not come back: such addresses are passed over, and answered from their rows if there are any.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

from bangeod.cooperative import yielding
from bangeod.geo.cache.contents import Memory
from bangeod.geo.cache.places import WalkedPlaces
from bangeod.store.port import Page, Store

AT_ONCE: Final = 100  # rows; some half a millisecond, for which a lookup may have to wait
# Turns of the event loop between these: a lookup that asks the database takes some ten of them. One costs some 10 µs.
TURNS: Final = 4
HOUR: Final = 3_600  # seconds
COUNTED_EVERY: Final = 5_000  # rows; to go through a year's hours takes a millisecond or two


async def load(memory: Memory, store: Store, came_to: Callable[[float], None]) -> int:
    """Take in the rows of the table; return how many rows of routable addresses were taken in.

    The next page is read while one is taken in. A table that memory can't hold has its newest rows taken in, since the
    others would only drive each other out. ``came_to`` is told how much of the table was read, from 0 to 1. Raises
    StoreError; what was taken in by then stays.
    """
    count = read = 0
    newest = NewestRows()
    places = WalkedPlaces()
    async with aclosing(store.rows()) as pages:
        reading = _begin_page(memory, pages)
        try:
            while (page := await reading) is not None and not (page.newest_first and memory.holds_max_entries):
                reading = _begin_page(memory, pages)
                if not read:
                    memory.expect(page)
                read += len(page)
                if not page.newest_first and read > memory.max_entries * page.share:  # there are more than that
                    page = newest.of(page, memory.max_entries)
                async for rows in yielding(page, AT_ONCE, turns=TURNS):
                    count += memory.load(rows, places)
                came_to(page.share)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            memory.changes.end()
    for _ in iter(memory.table.settle, False):
        await asyncio.sleep(0)
    return count


class NewestRows:
    """Tells which rows may be among the newest, of rows that come in no order of time."""

    def __init__(self) -> None:
        self._by_hour: Counter[int] = Counter()
        self._oldest = 0  # seconds since the epoch; of older rows there are enough newer ones
        self._came = COUNTED_EVERY  # rows since it was found

    def of(self, rows: Page, most: int) -> Page:
        """Return those of some more rows that may be among the ``most`` newest of all rows that came so far."""
        self._by_hour.update([(row.last_seen or 0) // HOUR for row in rows])
        self._came += len(rows)
        if self._came >= COUNTED_EVERY:
            self._came, self._oldest = 0, self._find_oldest(most)
        return Page((row for row in rows if (row.last_seen or 0) >= self._oldest), share=rows.share)

    def _find_oldest(self, most: int) -> int:
        newer = 0
        for hour in sorted(self._by_hour, reverse=True):
            newer += self._by_hour[hour]
            if newer >= most:
                return hour * HOUR
        return 0


def _begin_page(memory: Memory, pages: AsyncGenerator[Page, None]) -> "asyncio.Task[Page | None]":
    memory.changes.begin_page()
    return asyncio.get_running_loop().create_task(_next(pages), name="page of the table")


async def _next(pages: AsyncGenerator[Page, None]) -> Page | None:
    return await anext(pages, None)
