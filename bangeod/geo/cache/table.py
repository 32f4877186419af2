"""The in-memory table of entries: address → where it is and when it was last seen, in some 13 bytes each.

An address is kept as its octets, the time as seconds, the place as a number (see ``shards`` and ``places``); a
canonical text is made when it is asked for. Nothing here takes longer for a larger table, but for what walks it.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from itertools import chain
from typing import Final

from bangeod.addresses import octets, octets_of_all, text_of
from bangeod.geo.cache.hot_entries import HotEntries
from bangeod.geo.cache.places import Places, WalkedPlaces, Write
from bangeod.geo.cache.shards import LARGEST, Shards
from bangeod.geo.cache.tally import Tally
from bangeod.model import DirtyEntry, Geo, Row

SAMPLE: Final = 4_096  # entries that an eviction looks at
MOST_SHARDS: Final = 1_000  # that it looks at; many are empty where many more entries are expected
JOINED: Final = 100  # shards at once: a millisecond
EVICTED_SHARE: Final = 20  # a twentieth of them goes
_IPV4: Final = 4  # octets
_IPV6: Final = 16

Numbers = tuple[int, int]  # when an address was last seen, and the number of its place
Entry = tuple[Geo, int]  # where an address is, and when it was last seen, in seconds since the epoch


class EntryTable:
    """Entries by address, in whatever spelling. A text that is no address is never in it, nor is one with a zone.

    Does not limit its own size: see ``evict``. Places that no entry is in any more stay until ``clear``. ``hot`` is for
    what is written of entries; what has changed here is forgotten there.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._ipv4, self._ipv6 = Shards(_IPV4), Shards(_IPV6)
        self._places = Places()
        self.hot = HotEntries()
        self._hand = 0  # the shard at which the next eviction begins, those of IPv6 after those of IPv4

    def __len__(self) -> int:
        return len(self._ipv4) + len(self._ipv6)

    def __contains__(self, ip: str) -> bool:
        return self._numbers(octets(ip)) is not None

    def get(self, ip: str) -> Geo | None:
        """Return where an address is; None where it is not in the table."""
        known = self._numbers(octets(ip))
        return None if known is None else self._places.geo(known[1])

    def last_seen(self, ip: str) -> int:
        """Return when an entry was last seen, in seconds since the epoch; 0 where it is not in the table."""
        known = self._numbers(octets(ip))
        return 0 if known is None else known[0]

    def entry(self, ip: str) -> Entry | None:
        """Return where an address is and when it was last seen; None where it is not in the table."""
        known = self._numbers(octets(ip))
        return None if known is None else (self._places.geo(known[1]), known[0])

    def find(self, ips: Sequence[str]) -> list[Numbers | None]:
        """Return for each address when it was last seen and the number of its place; None where it has no entry."""
        addresses = octets_of_all(ips)
        if b"" not in addresses:
            return self._ipv4.get_all(self._ipv6, addresses)
        found = iter(self._ipv4.get_all(self._ipv6, [address for address in addresses if address]))
        return [next(found) if address else None for address in addresses]

    def place(self, number: int) -> Geo:
        """Return the place with a number that ``find`` has returned."""
        return self._places.geo(number)

    @property
    def kept(self) -> Callable[[int], Geo | None]:
        """Return what gives those of the places that are at hand at once: for a loop that calls it often."""
        return self._places.kept

    @property
    def kept_written(self) -> Callable[[int], str | None]:
        """Return the same for what ``written`` returns."""
        return self._places.kept_written

    def written(self, number: int, write: Write) -> str | None:
        """Return what ``write`` makes of a place, None of one without a country; the same ``write`` each time."""
        return self._places.written(number, write)

    def add_all(self, addresses: Sequence[bytes], rows: Sequence[Row], places: WalkedPlaces) -> list[tuple[bytes, Row]]:
        """Add the entries of rows whose addresses, given by their octets too, have none; return the others."""
        numbers = places.numbers(self._places, [row.geo for row in rows])
        there = self._add(addresses, [row.last_seen or 0 for row in rows], numbers)
        return [(addresses[at], rows[at]) for at in there]

    def add_new(self, entries: Sequence[DirtyEntry]) -> Sequence[DirtyEntry]:
        """Add those entries whose addresses have none; return them."""
        addresses = octets_of_all([entry.ip for entry in entries])
        if b"" in addresses:
            entries = [entry for entry, address in zip(entries, addresses, strict=True) if address]
            addresses = [address for address in addresses if address]
        numbers = self._places.numbers([entry.geo for entry in entries])
        there = set(self._add(addresses, [entry.last_seen for entry in entries], numbers))
        return [entry for at, entry in enumerate(entries) if at not in there] if there else entries

    def _add(self, addresses: Sequence[bytes], times: Sequence[int], places: Sequence[int]) -> list[int]:
        """Add entries by octets, time and number of the place; return the positions of those that are there already."""
        if times and (min(times) < 0 or max(times) > LARGEST):
            times = list(map(_clamped, times))
        ipv4: list[tuple[bytes, int, int, int]] = []
        ipv6: list[tuple[bytes, int, int, int]] = []
        for record in zip(addresses, times, places, range(len(addresses)), strict=True):
            (ipv4 if len(record[0]) == _IPV4 else ipv6).append(record)
        return self._ipv4.add_all(ipv4) + self._ipv6.add_all(ipv6)

    def expect(self, ipv4: int, ipv6: int) -> None:
        """Prepare for so many entries of each kind, while there are few: then they are added in less time."""
        self._ipv4.expect(ipv4)
        self._ipv6.expect(ipv6)

    def settle(self) -> bool:
        """Give some of the room back that was prepared for more than came; return whether there may be more of it."""
        return self._ipv4.settle(JOINED) or self._ipv6.settle(JOINED)

    def put(self, ip: str, geo: Geo, seen: int) -> None:
        """Set where an address is; its time last seen only moves forward.

        Times before 1970 become its beginning, and those beyond 32 bits, in 2106, their end.
        """
        address = octets(ip)
        if not address:
            return
        shards = self._ipv4 if len(address) == _IPV4 else self._ipv6
        seen, place = _clamped(seen), self._places.number(geo)
        if shards.add(address, seen, place):
            return
        known = shards.get(address)
        if known is None:
            return
        if known[1] != place:
            self.hot.forget(address)
            shards.change(address, max(seen, known[0]), place)
        elif known[0] < seen:
            shards.raise_first(address, seen)

    def see(self, ip: str, seen: int) -> None:
        """Move the time of an entry forward, if it is there."""
        if address := octets(ip):
            shards = self._ipv4 if len(address) == _IPV4 else self._ipv6
            shards.raise_first(address, seen if 0 <= seen <= LARGEST else _clamped(seen))

    def remove(self, ip: str) -> None:
        """Forget an entry, if it is there."""
        self._remove(octets(ip))

    def addresses(self) -> Iterator[list[str]]:
        """Iterate over the canonical addresses, some dozens at a time, while the table changes.

        May miss those added meanwhile, yield those removed, and yield some twice while many are added.
        """
        for shards in (self._ipv4, self._ipv6):
            for some in shards.walk():
                yield list(map(text_of, some))

    def items(self) -> Iterator[tuple[str, Geo, int]]:
        """Iterate over address, place and time of every entry; meanwhile the table may not change."""
        for shards in (self._ipv4, self._ipv6):
            for number in range(shards.count):
                for address, (seen, place) in shards.pairs_of(number):
                    yield text_of(address), self._places.geo(place), seen

    def tally(self, since: int) -> Tally:
        """Begin to count the entries by place, as they are now: of those that were last seen at ``since`` or later.

        What changes while they are counted changes nothing in it. Beginning takes a millisecond for five million.
        """
        counts: Counter[int] = Counter()
        steps = chain(self._ipv4.tally(counts, since), self._ipv6.tally(counts, since))
        return Tally(steps, counts, self._places.geo_once)

    def evict(self, excess: int, keep: Container[str]) -> int:
        """Remove some of the entries that were seen longest ago, but none in ``keep``; return how many.

        Looks at ``SAMPLE`` entries at a time, going round the table, so that it takes a millisecond or two whatever the
        table's size. From a table no larger than the sample, the oldest go, at least ``excess`` of them.
        """
        sample, whole = self._sample()
        count = max(len(sample) // EVICTED_SHARE, excess if whole else 1)
        evicted = 0
        for _, address in sorted(sample):
            if evicted == count:
                break
            if text_of(address) not in keep:
                self._remove(address)
                evicted += 1
        return evicted

    def _sample(self) -> tuple[list[tuple[int, bytes]], bool]:
        """Return time and address of the entries of the next shards, and whether those are all entries."""
        sample: list[tuple[int, bytes]] = []
        ipv4, total = self._ipv4.count, self._ipv4.count + self._ipv6.count
        for looked_at in range(total):
            if len(sample) >= SAMPLE or looked_at == MOST_SHARDS:
                return sample, False
            self._hand %= total
            shards, number = (self._ipv4, self._hand) if self._hand < ipv4 else (self._ipv6, self._hand - ipv4)
            self._hand += 1
            sample += [(seen, address) for address, (seen, _) in shards.pairs_of(number)]
        return sample, True

    def _numbers(self, address: bytes) -> Numbers | None:
        """Return the time and the number of the place of an address."""
        return (self._ipv4 if len(address) == _IPV4 else self._ipv6).get(address) if address else None

    def _remove(self, address: bytes) -> None:
        if address:
            self.hot.forget(address)
            (self._ipv4 if len(address) == _IPV4 else self._ipv6).remove(address)


def _clamped(seen: int) -> int:
    return min(max(seen, 0), LARGEST)
