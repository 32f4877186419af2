"""Working through many items without blocking the event loop: in slices, with a pause for other tasks after each."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from itertools import islice
from typing import Final, TypeVar

AT_ONCE: Final = 500  # items; takes some milliseconds for what is done with an address here

T = TypeVar("T")


async def yielding(items: Iterable[T], size: int = AT_ONCE) -> AsyncIterator[list[T]]:
    """Yield the items in slices; meanwhile nobody else may change the collection they come from."""
    remaining = iter(items)
    while some := list(islice(remaining, size)):
        yield some
        await asyncio.sleep(0)
