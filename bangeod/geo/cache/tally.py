"""A count of entries by place, done in steps of a millisecond between which other tasks get their turn."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping

from bangeod.cooperative import yielding
from bangeod.model import Geo

Counted = tuple[Geo, int]  # a place, and how many entries are in it


class Tally:
    """``steps`` count entries into ``counts``, by the number of their place; ``read`` returns the place of a number."""

    def __init__(self, steps: Iterable[None], counts: Mapping[int, int], read: Callable[[int], Geo]) -> None:
        self._steps = steps
        self._counts = counts
        self._read = read

    async def places(self) -> AsyncIterator[list[Counted]]:
        """Count, then yield the places that have entries, some at a time, each once."""
        for _ in self._steps:
            await asyncio.sleep(0)
        async for some in yielding(self._counts.items()):
            yield [(self._read(number), count) for number, count in some]
