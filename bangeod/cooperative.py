"""Going through much without stopping the event loop: a slice at a time, and the others' turn after each."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from itertools import islice
from typing import Final, TypeVar

AT_ONCE: Final = 500  # some milliseconds for what is done with an address here

T = TypeVar("T")


async def yielding(items: Iterable[T], size: int = AT_ONCE) -> AsyncIterator[list[T]]:
    """Hand the items out in slices; nobody else may change what they come from meanwhile."""
    remaining = iter(items)
    while some := list(islice(remaining, size)):
        yield some
        await asyncio.sleep(0)
