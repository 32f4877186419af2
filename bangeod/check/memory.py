"""Checks of memory: whether what the service will need is within what the unit, or the machine, lets it have."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from bangeod.check.finding import Finding, warning
from bangeod.config import Settings
from bangeod.service.active_sources import mmdb_paths

SUBJECT: Final = "memory"
MB: Final = 1_000_000
BASE: Final = 80 * MB  # an idle daemon with nothing in memory: 62 MiB, and what comes with the first requests
PER_ENTRY: Final = 35  # bytes; tests/benchmarks/memory.py
HOT_ENTRIES, PER_HOT_ENTRY = 131_072, 300  # at most, and bytes: geo/cache/hot_entries.py
PER_ROW: Final = 100  # bytes of the database for each row of geo_cache, with its index, at least
COPIES: Final = 2  # of a geo database while a new one is taken up; the probe reads the new one itself
STEP: Final = 100_000  # entries, to which what is advised is rounded


class Need(NamedTuple):
    """What the service needs at most, in bytes."""

    entries: int
    geodata: int
    base: int = BASE

    @property
    def whole(self) -> int:
        return self.base + self.entries + self.geodata


def need(settings: Settings, database: int, geodata: int) -> Need:
    """Estimate what the service needs with a database and geo databases of these sizes, in bytes."""
    entries = min(settings.cache.max_entries, database // PER_ROW)
    hot = min(entries, HOT_ENTRIES)
    return Need(entries * PER_ENTRY + hot * PER_HOT_ENTRY, COPIES * geodata)


def examine(settings: Settings, limit: int | None) -> Iterator[Finding]:
    """Check it with the files that are there; ``limit`` is the unit's, in bytes, None if it has none."""
    path = settings.database.path
    database = 0 if path is None else _size(path)  # how many rows a server has is not known here
    geodata = sum(_size(path) for path in mmdb_paths(settings))
    yield from judge(need(settings, database, geodata), limit, installed())


def judge(needed: Need, limit: int | None, memory: int) -> Iterator[Finding]:
    """Report if what is needed is more than the limit, or the memory of the machine."""
    allowed = memory if limit is None else min(limit, memory)
    if needed.whole <= allowed:
        return
    by = "the machine has" if allowed == memory else "the unit lets it have (MemoryMax=)"
    problem = f"bangeod may need some {needed.whole // MB} MB, and {by} {allowed // MB} MB: it would be killed for that"
    left = allowed - needed.base - needed.geodata - HOT_ENTRIES * PER_HOT_ENTRY
    entries = left // PER_ENTRY // STEP * STEP
    if entries > 0:
        mend = f"[cache] max_entries = {entries}   # the others are answered from their rows"
    else:
        mend = "use smaller geo databases, of countries alone, or give the machine more memory"
    yield warning(SUBJECT, "cache.max_entries" if entries > 0 else "geo.mmdb", problem, mend)


def installed() -> int:
    """Return the memory of the machine in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # missing or closed; others say so
        return 0
