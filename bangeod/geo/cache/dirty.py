"""The dirty set: entries whose row is missing or out of date, and the flush that writes them. Belongs to one loop.

The database may refuse a single row (a constraint, or a trigger of the web app). The entry is then set aside for a
while, so that it does not block all others; it stays in the dirty set.
"""

import heapq
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from operator import attrgetter
from typing import Final

from msgspec.structs import replace

from bangeod.cooperative import yielding
from bangeod.errors import StoreRefusedError
from bangeod.model import DirtyEntry
from bangeod.store.port import Store
from bangeod.trouble import Trouble

REFUSED_RETRY = 3_600.0  # seconds until an entry that was refused is tried again
SORTED_AT_ONCE = 5_000  # entries between two turns of the event loop
SORTED_BY = 4  # first characters of the address, by which the entries are split into parts
MOST_REFUSED = 20  # in one flush, unless more were written; beyond that the table is wrong, not a row

_address: Final = attrgetter("ip")


class DirtySet:
    """Dirty entries by canonical address. Has no clock: times are monotonic seconds, passed in.

    ``changed`` is called with each address whose entry comes, or is written.
    """

    def __init__(self, changed: Callable[[str], None] = lambda _: None) -> None:
        self._changed = changed
        self._entries: dict[str, DirtyEntry] = {}
        self._refused: dict[str, float] = {}  # by address: when it may be tried again
        self._refusal = Trouble("row_refused", "row_accepted")
        self._new_rows = Trouble("rows_refused", "rows_accepted")

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, ip: object) -> bool:
        return ip in self._entries

    def get(self, ip: str) -> DirtyEntry | None:
        return self._entries.get(ip)

    def put(self, entry: DirtyEntry) -> None:
        """Let an entry wait, in place of an older one of the address."""
        self._entries[entry.ip] = entry
        self._refused.pop(entry.ip, None)
        self._changed(entry.ip)

    def put_new(self, entries: Sequence[DirtyEntry]) -> None:
        """Let many entries wait, in less time for each, where none of their addresses has one that waits."""
        self._entries.update(zip(map(_address, entries), entries, strict=True))
        for entry in entries:
            self._changed(entry.ip)

    def committed(self, entries: Iterable[DirtyEntry]) -> None:
        """Drop entries whose transaction has committed, except those that have changed since."""
        for entry in entries:
            self._changed(entry.ip)
            waiting = self._entries.get(entry.ip)
            if waiting is entry:
                del self._entries[entry.ip]
                self._refused.pop(entry.ip, None)
            elif waiting is not None and waiting.replaces is not None and waiting.replaces == entry.replaces:
                # Corrected again while this was written: what was written is what the row holds now.
                self._entries[entry.ip] = replace(waiting, replaces=entry.geo)

    def refused(self, entry: DirtyEntry, until: float) -> None:
        """Set an entry aside until ``until``, unless it has changed since."""
        if self._entries.get(entry.ip) is entry:
            self._refused[entry.ip] = until

    def tell_of(self, entry: DirtyEntry, refusal: StoreRefusedError) -> None:
        """Log why the database refuses an entry; further entries refused for the same reason only at debug level."""
        problem, advice = refusal.problem, refusal.advice
        self._refusal.tell(problem, ip=entry.ip, problem=problem, advice=advice)

    def tell_of_new_rows(self, rows: int, refusal: StoreRefusedError) -> None:
        """Log why the table takes no new rows of this kind, however many they are."""
        self._new_rows.tell(refusal.problem, rows=rows, **refusal.log_fields())

    def tell_the_end(self) -> None:
        """Log that the database refuses nothing any more, if that is so; all refused entries have been tried."""
        if not self._refused:
            self._refusal.is_over()
            self._new_rows.is_over()

    def set_aside(self, now: float) -> int:
        """Return how many entries are set aside."""
        return sum(until > now for until in self._refused.values())

    def entries(self) -> list[DirtyEntry]:
        return list(self._entries.values())

    def writable(self, now: float) -> list[DirtyEntry]:
        """Return the entries that are not set aside."""
        refused = self._refused
        return [entry for entry in self._entries.values() if refused.get(entry.ip, -math.inf) <= now]


async def flush(dirty: DirtySet, store: Store, now: float, time_left: Callable[[], float]) -> int:
    """Write what the time allows; return how many entries were written.

    Raises StoreError; what was committed before it has left the dirty set, the rest is still there.
    """
    written = 0
    refused: list[DirtyEntry] = []
    entries = await in_key_order(dirty.writable(now))
    parts: list[Sequence[DirtyEntry]] = [entries] if entries else []
    while parts:
        part = parts.pop()
        done, refusal = await _write(dirty, store, part, time_left)
        written += done
        if refusal is not None and refusal.ips:
            for entry in part:
                if entry.ip in refusal.ips:
                    dirty.refused(entry, now + REFUSED_RETRY)
            dirty.tell_of_new_rows(len(refusal.ips), refusal)
        elif refusal is not None:
            rest = part[done:]  # slices come in the order of the entries
            middle = len(rest) // 2
            if middle:
                parts += [rest[middle:], rest[:middle]]
            else:
                refused += rest
                dirty.refused(rest[0], now + REFUSED_RETRY)
                _tell(dirty, refused, refusal, written)
        if time_left() <= 0:
            break
    else:
        dirty.tell_the_end()
    return written


async def in_key_order(entries: Sequence[DirtyEntry]) -> list[DirtyEntry]:
    """Order entries as the index on the addresses has them.

    Each index page is then written once or twice, not once for every row. Sorts in parts, since sorting 100,000
    entries at once would stop the event loop for too long.
    """
    parts: dict[str, list[DirtyEntry]] = {}
    async for some in yielding(entries, SORTED_AT_ONCE):
        for entry in some:
            parts.setdefault(entry.ip[:SORTED_BY], []).append(entry)
    ordered: list[DirtyEntry] = []
    for beginning in sorted(parts):
        runs = [sorted(some, key=_address) async for some in yielding(parts[beginning], SORTED_AT_ONCE)]
        async for some in yielding(heapq.merge(*runs, key=_address), SORTED_AT_ONCE):
            ordered += some
    return ordered


async def _write(
    dirty: DirtySet, store: Store, part: Sequence[DirtyEntry], time_left: Callable[[], float]
) -> tuple[int, StoreRefusedError | None]:
    """Write entries until one is refused; return how many were written, and the refusal."""
    done = 0
    try:
        async with aclosing(store.write(part, time_left=time_left)) as slices:
            async for entries in slices:
                dirty.committed(entries)
                done += len(entries)
                if time_left() <= 0:
                    break
    except StoreRefusedError as refusal:
        return done, refusal
    return done, None


def _tell(dirty: DirtySet, refused: Sequence[DirtyEntry], refusal: StoreRefusedError, written: int) -> None:
    """Log the first row that is refused; give up where too many are refused compared with those that were written."""
    if len(refused) == 1:
        dirty.tell_of(refused[0], refusal)
    if len(refused) >= max(MOST_REFUSED, written):
        raise refusal
