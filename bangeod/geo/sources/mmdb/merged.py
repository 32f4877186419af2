"""The MMDBs in use, configured or fetched, as one source: merged field by field, reloaded when they change on disk."""

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from bangeod.errors import SourceError
from bangeod.geo.sources.mmdb.coverage import Coverage, together
from bangeod.geo.sources.mmdb.file import PROBE_SECONDS, MmdbSource, open_file
from bangeod.geo.sources.mmdb.slot import FileState, Slot, TakenUp
from bangeod.geo.sources.mmdb.snapshot import Signature, signature
from bangeod.model import UNKNOWN, Geo, Origin, merge

_MAX_SHARED: Final = 100_000  # merged answers kept as shared objects


class MmdbFiles:
    """The listed files as one source. The event loop's thread owns it; blocking work runs in other threads."""

    def __init__(self, paths: Iterable[Path], *, probe_seconds: float = PROBE_SECONDS) -> None:
        self._slots = [Slot(path) for path in dict.fromkeys(paths)]
        self._sources: tuple[MmdbSource, ...] = ()
        self._probe_seconds = probe_seconds
        self._refreshing = asyncio.Lock()
        self._shared: dict[Geo, Geo] = {}
        self.coverage = Coverage()  # what the files in use can answer together
        self.generation = 0  # counts the changes of the set of files in use

    @property
    def origin(self) -> Origin:
        return Origin.MMDB

    @property
    def loaded(self) -> bool:
        """Say whether any of the files is in use."""
        return bool(self._sources)

    def find(self, ip: str) -> Geo | None:
        """Return what the files know of an address; the first file that knows a field decides it. Never raises."""
        sources = self._sources
        if len(sources) == 1:
            return sources[0].find(ip)
        merged = UNKNOWN
        for source in sources:
            geo = source.find(ip)
            if geo:
                merged = merge(merged, geo)
                if None not in merged:
                    break
        return None if merged == UNKNOWN else self._share(merged)

    def _share(self, geo: Geo) -> Geo:
        if len(self._shared) >= _MAX_SHARED:
            self._shared.clear()
        return self._shared.setdefault(geo, geo)

    def states(self) -> Sequence[FileState]:
        """Return the state of each file, in the order of the config."""
        return [slot.state() for slot in self._slots]

    def files(self) -> Sequence[tuple[FileState, MmdbSource | None]]:
        """Return the state of each file, and its source if one is in use, in the order of the config."""
        return [(slot.state(), slot.source) for slot in self._slots]

    def set_paths(self, paths: Iterable[Path], *, expected: bool = True) -> None:
        """Change the list of files; those that are on both lists stay in use. ``refresh`` loads the others.

        A missing file is logged as a warning only where the files are ``expected``.
        """
        old = {slot.path: slot for slot in self._slots}
        self._slots = [old.pop(path) if path in old else Slot(path) for path in dict.fromkeys(paths)]
        for slot in self._slots:
            slot.expected = expected
        self._swap()
        for slot in old.values():
            if slot.source:
                slot.source.close()

    async def refresh(self) -> Sequence[TakenUp]:
        """Look at each path, open new files, and put all of them in use in one step.

        A new file that can't be used is reported once, and the old one stays. Never raises a SourceError.
        """
        async with self._refreshing:
            slots = list(self._slots)
            opened: list[tuple[Slot, MmdbSource]] = []
            try:
                for slot in slots:
                    source = await self._look_at(slot)
                    if source:
                        opened.append((slot, source))
            except BaseException:
                for _, source in opened:
                    source.close()
                raise
            return self._take(opened)

    def _take(self, opened: Iterable[tuple[Slot, MmdbSource]]) -> Sequence[TakenUp]:
        changes = []
        for slot, source in opened:
            if slot in self._slots:
                changes.append(slot.take(source))
            else:  # taken off the list while it was being opened
                source.close()
        self._swap()
        return changes

    async def _look_at(self, slot: Slot) -> MmdbSource | None:
        found: Signature | None = None
        try:
            found = await asyncio.to_thread(signature, slot.path)
            if found is None:
                slot.miss()
            elif slot.wants(found):
                return await open_file(slot.path, time_limit=self._probe_seconds)
        except SourceError as error:
            slot.refuse(error, found)
        return None

    def _swap(self) -> None:
        sources = tuple(slot.source for slot in self._slots if slot.source)
        if sources != self._sources:
            self.generation += 1
        self._sources = sources
        self.coverage = together(source.findings.coverage for source in sources)
        self._shared.clear()

    def close(self) -> None:
        self.set_paths(())
