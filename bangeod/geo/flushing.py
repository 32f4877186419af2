"""Writing out what waits, each country under the one name that it has in the table."""

import asyncio
from collections.abc import Callable, Collection
from typing import Final

from bangeod.geo.dirty import flush
from bangeod.geo.memory import Memory
from bangeod.geo.naming import Naming, Renamed, renamed
from bangeod.store.port import Store

AT_ONCE: Final = 2_000  # entries that are renamed between two turns of the event loop


async def flush_named(memory: Memory, naming: Naming, store: Store, now: float, time_left: Callable[[], float]) -> int:
    """Settle the names of what waits, then write what the time allows; return how many entries were written.

    Raises StoreError; what isn't written stays.
    """
    try:
        # Once more where lookups have told of another country meanwhile; after that nothing comes between.
        while memory.dirty and naming.unsettled:
            if changes := await naming.settle():
                await _rename(memory, changes)
        return await flush(memory.dirty, store, now, time_left)
    finally:
        memory.flushed()


async def _rename(memory: Memory, changes: Collection[Renamed]) -> None:
    waiting = memory.dirty.entries()
    for start in range(0, len(waiting), AT_ONCE):
        for waited in waiting[start : start + AT_ONCE]:
            entry = renamed(waited, changes)
            if entry is not None:
                memory.replace_waiting(waited, entry)
        await asyncio.sleep(0)
