"""When the unwritten file is read, written and removed; service/state/unwritten_file.py does that.

At its stop, bangeod saves the entries that it could not write; the next start takes them up. The log
calls them leftover.
"""

import asyncio
from pathlib import Path
from typing import Final

import structlog

from bangeod.geo.cache.cache import GeoCache
from bangeod.service.state import unwritten_file

log = structlog.get_logger(__name__)

UNWRITTEN_FILE: Final = "unwritten.json"  # in the state directory


class UnwrittenEntries:
    """The part of the dirty set that outlives a process. With ``look_only`` the file stays as it is, even a bad one.

    Until its entries are taken up, the file is not touched: nobody else holds them.
    """

    def __init__(self, path: Path, cache: GeoCache, *, look_only: bool = False) -> None:
        self._path = path
        self._cache = cache
        self._look_only = look_only
        self._is_there = False
        self._stays = unwritten_file.stays()
        self.taken_up = False

    def take_up(self) -> None:
        """Put the entries of the file into the dirty set."""
        entries = unwritten_file.load(self._path, look_only=self._look_only)
        self._is_there = bool(entries)
        if entries:
            log.info("leftover_taken_up", entries=len(entries))
            self._cache.restore_dirty(entries)
        self.taken_up = True

    def keep(self) -> None:
        """Save the unwritten entries; if none is left, remove the file. Blocks for the disk."""
        if self._look_only or not self.taken_up:
            return
        entries = self._cache.dirty_entries()
        if unwritten_file.save(self._path, entries) and entries:
            log.warning("leftover_kept", entries=len(entries), path=str(self._path))

    def keep_at_crash(self) -> None:
        """Save the unwritten entries. A file is left alone if its entries are not, or may not be, all in memory."""
        if self.taken_up and self._cache.dirty:
            self.keep()

    async def remove_once_written(self) -> None:
        """Remove the file when no entry waits any more; called after each flush, and so tried again after a failure."""
        if self._is_there and not self._cache.dirty:
            gone = await asyncio.to_thread(unwritten_file.discard, self._path, self._stays)
            self._is_there = not gone
