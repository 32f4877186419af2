"""The last flush: at the stop the dirty set goes to the database; what can't be written goes to a file."""

import asyncio
from typing import Final

import structlog

from bangeod.errors import StoreError
from bangeod.service.components import Components

log = structlog.get_logger(__name__)

FINAL_FLUSH: Final = 60.0  # seconds that it may take; the rest is kept in a file


async def flush_finally(components: Components) -> None:
    """Write the dirty set while there is time; the rest goes to a file, even after errors here."""
    if not components.unwritten.taken_up:  # the start was cut short before any entry could exist
        return
    cache = components.cache
    waiting = cache.dirty
    try:
        async with asyncio.timeout(FINAL_FLUSH):
            await components.store.prepare()
            await cache.flush_dirty()
    except StoreError as error:
        log.error("final_flush_failed", **error.log_fields())  # noqa: TRY400 - no bug
    except TimeoutError:
        log.error("final_flush_failed", problem=f"not done within {FINAL_FLUSH:g} s")  # noqa: TRY400 - no bug
    finally:
        if components.geo_tier is not None:  # what could not be written here need not be kept from others
            await components.geo_tier.flush(lambda: FINAL_FLUSH)
        log.info("final_flush", flushed=waiting - cache.dirty, left=cache.dirty)
        await asyncio.to_thread(components.unwritten.keep)
        await components.history.save_all()
