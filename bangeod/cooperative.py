"""Working through many items without blocking the event loop: in slices, with a pause for other tasks after each."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from itertools import islice
from typing import Final, TypeVar

WHILE: Final = 0.001  # seconds that others have, at least, before it is enough
AT_ONCE: Final = 500  # items; takes some milliseconds for what is done with an address here

T = TypeVar("T")


async def yielding(
    items: Iterable[T], size: int = AT_ONCE, *, turns: int = 1, timer: Callable[[], float] = time.perf_counter
) -> AsyncIterator[list[T]]:
    """Yield the items in slices; meanwhile nobody else may change the collection they come from.

    After each slice the others have so many ``turns``. What takes several of them, one after the other, then waits for
    one slice, and not for as many slices. But ``WHILE`` seconds are enough: where others do much in each turn, this
    would hardly get on.
    """
    remaining = iter(items)
    while some := list(islice(remaining, size)):
        yield some
        until = timer() + WHILE
        for _ in range(turns):
            await asyncio.sleep(0)
            if timer() > until:
                break
