"""Having the next page made ready while the one before is worked on."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

T = TypeVar("T")


async def ahead(found: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Yield the same pages, each of them read while the one before is worked on."""
    async with aclosing(found):
        coming = asyncio.create_task(_next(found))
        try:
            while (page := await coming) is not None:
                coming = asyncio.create_task(_next(found))
                yield page
        finally:
            coming.cancel()
            await asyncio.wait([coming])
            if not coming.cancelled():
                coming.exception()  # of a page that nobody wants any more


async def _next(found: AsyncGenerator[T, None]) -> T | None:
    return await anext(found, None)
