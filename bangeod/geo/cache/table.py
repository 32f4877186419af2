"""The in-memory table of entries: address → where it is and when it was last seen, a hundred bytes each.

A million addresses have some ten thousand distinct places, so entries share one Geo object per place. The table is
split into shards: growing one dict of a million keys would stop the event loop for tens of milliseconds. Within
a shard an entry is a slot number into two arrays; the number objects are shared too.
"""

import heapq
import sys
from array import array
from collections.abc import Container, Iterator

from bangeod.model import UNKNOWN, Geo

SHARDS = 256
SAMPLE = 4_096  # entries that an eviction looks at
EVICTED_SHARE = 20  # a twentieth of them goes
_SHARED_NUMBERS = tuple(range(16_384))  # slots of up to four million entries cost no integer object


class _Shard:
    __slots__ = ("free", "geos", "seen", "slots")

    def __init__(self) -> None:
        self.slots: dict[str, int] = {}
        self.geos: list[Geo] = []
        self.seen = array("q")  # seconds since the epoch
        self.free: list[int] = []

    def add(self, ip: str, geo: Geo, seen: int) -> None:
        """Add an entry; the address must not be there yet."""
        if self.free:
            slot = self.free.pop()
            self.geos[slot], self.seen[slot] = geo, seen
        else:
            slot = len(self.geos)
            self.geos.append(geo)
            self.seen.append(seen)
        self.slots[ip] = _SHARED_NUMBERS[slot] if slot < len(_SHARED_NUMBERS) else slot


class EntryTable:
    """Entries by canonical address. Does not limit its own size: see ``evict``."""

    def __init__(self) -> None:
        self.clear()

    def __len__(self) -> int:
        return self._length

    def __contains__(self, ip: str) -> bool:
        return ip in self._shards[hash(ip) % SHARDS].slots

    def clear(self) -> None:
        self._shards = [_Shard() for _ in range(SHARDS)]
        self._places: dict[Geo, Geo] = {UNKNOWN: UNKNOWN}
        self._length = 0
        self._hand = 0  # the shard at which the next eviction begins

    def get(self, ip: str) -> Geo | None:
        """Return where an address is; None where it is not in the table."""
        shard = self._shards[hash(ip) % SHARDS]
        slot = shard.slots.get(ip)
        return None if slot is None else shard.geos[slot]

    def last_seen(self, ip: str) -> int:
        """Return when an entry was last seen, in seconds since the epoch; 0 where it is not in the table."""
        shard = self._shards[hash(ip) % SHARDS]
        slot = shard.slots.get(ip)
        return 0 if slot is None else shard.seen[slot]

    def entry(self, ip: str) -> tuple[Geo, int] | None:
        """Return where an address is and when it was last seen; None where it is not in the table."""
        shard = self._shards[hash(ip) % SHARDS]
        slot = shard.slots.get(ip)
        return None if slot is None else (shard.geos[slot], shard.seen[slot])

    def put(self, ip: str, geo: Geo, seen: int) -> None:
        """Set where an address is; its time last seen only moves forward."""
        place = self._places.get(geo) or self._add_place(geo)
        shard = self._shards[hash(ip) % SHARDS]
        slot = shard.slots.get(ip)
        if slot is None:
            shard.add(ip, place, seen)
            self._length += 1
        else:
            shard.geos[slot] = place
            shard.seen[slot] = max(shard.seen[slot], seen)

    def _add_place(self, geo: Geo) -> Geo:
        """Share the Geo object of a place, and the texts that many places have in common."""
        code, name, asn, org = geo
        place = Geo(_shared(code), _shared(name), asn, org)
        self._places[place] = place
        return place

    def remove(self, ip: str) -> None:
        """Forget an entry, if it is there."""
        shard = self._shards[hash(ip) % SHARDS]
        slot = shard.slots.pop(ip, None)
        if slot is not None:
            shard.geos[slot] = UNKNOWN
            shard.free.append(slot)
            self._length -= 1

    def addresses(self) -> Iterator[list[str]]:
        """Iterate over the addresses, a shard at a time; may miss those added meanwhile and yield those removed."""
        for number in range(SHARDS):
            yield list(self._shards[number].slots)

    def items(self) -> Iterator[tuple[str, Geo, int]]:
        """Iterate over address, place and time of every entry."""
        for shard in self._shards:
            for ip, slot in shard.slots.items():
                yield ip, shard.geos[slot], shard.seen[slot]

    def evict(self, excess: int, keep: Container[str]) -> int:
        """Remove some of the entries that were seen longest ago, but none in ``keep``; return how many.

        Looks at ``SAMPLE`` entries at a time, going round the table, so that it takes a millisecond or two whatever the
        table's size. From a table no larger than the sample, the oldest go, at least ``excess`` of them.
        """
        seen, whole = self._sample()
        count = max(len(seen) // EVICTED_SHARE, excess if whole else 1)
        oldest = heapq.nsmallest(count, (entry for entry in seen if entry[1] not in keep))
        for _, ip in oldest:
            self.remove(ip)
        return len(oldest)

    def _sample(self) -> tuple[list[tuple[int, str]], bool]:
        """Return time and address of the entries of the next shards, and whether those are all entries."""
        seen: list[tuple[int, str]] = []
        for _ in range(SHARDS):
            if len(seen) >= SAMPLE:
                return seen, False
            shard = self._shards[self._hand]
            self._hand = (self._hand + 1) % SHARDS
            seen += [(shard.seen[slot], ip) for ip, slot in shard.slots.items()]
        return seen, True


def _shared(text: str | None) -> str | None:
    return sys.intern(text) if type(text) is str else text  # a row may hold values other than text
