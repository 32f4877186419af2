"""Loading: the rows of the table are taken into memory, page by page, while all else goes on.

A page is old as soon as it is read. What memory has learned or written since then is newer, and a row that was deleted
since then must not come back: such addresses are passed over, and answered from their rows if there are any.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

from bangeod.cooperative import yielding
from bangeod.geo.cache.contents import Memory
from bangeod.store.port import Page, Store

AT_ONCE: Final = 500  # rows between two turns of the event loop: a millisecond


async def load(memory: Memory, store: Store, came_to: Callable[[float], None]) -> int:
    """Take in the rows of the table; return how many of them were of routable addresses.

    The next page is read while one is taken in. Rows that come newest first are taken in until memory is full: those
    after them would only drive each other out. ``came_to`` is told how much of the table was read, from 0 to 1. Raises
    StoreError; what was taken in by then stays.
    """
    count = 0
    async with aclosing(store.rows()) as pages:
        reading = _begin_page(memory, pages)
        try:
            while (page := await reading) is not None and not (page.newest_first and memory.is_full):
                reading = _begin_page(memory, pages)
                async for rows in yielding(page, AT_ONCE):
                    count += memory.load(rows)
                came_to(page.share)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            memory.changes.end()
    return count


def _begin_page(memory: Memory, pages: AsyncGenerator[Page, None]) -> "asyncio.Task[Page | None]":
    memory.changes.begin_page()
    return asyncio.get_running_loop().create_task(_next(pages), name="page of the table")


async def _next(pages: AsyncGenerator[Page, None]) -> Page | None:
    return await anext(pages, None)
