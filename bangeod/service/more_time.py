"""More time of systemd for a long start or stop, asked for while it goes on."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from bangeod.service.notify import Notifier

EVERY: Final = 10.0  # seconds between two requests
AT_MOST: Final = 900.0  # seconds; what takes longer hangs, and systemd may end it


async def with_more_time(notifier: Notifier, work: Callable[[], Awaitable[None]], *, every: float = EVERY) -> None:
    """Do the work, in this task, and ask for time for twice ``every`` seconds from now until it is done."""
    asking = asyncio.create_task(_ask(notifier, every), name="ask_for_time")
    try:
        await work()
    finally:
        asking.cancel()


async def _ask(notifier: Notifier, every: float) -> None:
    for _ in range(round(AT_MOST / every)):
        notifier.extend_timeout(2 * every)
        await asyncio.sleep(every)
