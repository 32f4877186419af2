"""Packed maps: keys of one width, each with two whole numbers, in hardly more room than these take themselves.

A shard is one ``bytes`` object, records of the same size in no order: the key, then both numbers. ``bytes.find`` goes
through some dozens of them faster than Python code could search fewer. Keys are spread by ``hash``, which has another
secret in each process: nobody can choose addresses that meet in one shard.

The number of shards follows that of the keys one by one (linear hashing, as W. Litwin described it): when there are
too many keys for the shards, one is divided in two, when there are too few, two are joined. Neither moves more than
some kilobytes, whatever the size of the whole.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import compress
from operator import not_
from struct import Struct
from typing import Final, Self, TypeVar

FULL: Final = 28  # records of a shard on average, above which there is one shard more
SPARSE: Final = 10  # records of a shard on average, below which there is one shard less
FEW: Final = 1_000  # records that can be moved at once; a millisecond
TALLIED: Final = 128  # shards that are counted at once; half a millisecond
LARGEST: Final = 0xFFFF_FFFF  # of both numbers
LARGEST_NARROW: Final = 0xFFFF  # of the second number, if a record is to be as short as most are
NARROW: Final = Struct("<IH")
WIDE: Final = Struct("<II")
_MORE: Final = bytes(WIDE.size - NARROW.size)  # makes a narrow record a wide one: the numbers' last bytes come last
_FLAG: Final = b"\0"  # at the end of a shard with wide records: its size is odd then, and that of all others is even

_FIRST: Final = Struct("<I")  # the first number of either

_read_first: Final = _FIRST.unpack_from
_pack_first: Final = _FIRST.pack
_read_narrow: Final = NARROW.unpack_from
_pack_narrow: Final = NARROW.pack

Pair = tuple[int, int]
T = TypeVar("T")


class Shards:
    """Keys of ``width`` bytes, an even number; each of the two numbers is from 0 to ``LARGEST``."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._size = width + NARROW.size  # of a narrow record
        self._record = Struct(f"<{width}s{NARROW.format[1:]}")
        self._shards = [b""]
        self._mask = 0  # of the hash; for a shard that has not been divided in this round
        self._wider = 1  # for one that has been: the first ``_divided``
        self._divided = 0
        self._length = 0
        self._walks = 0

    def __len__(self) -> int:
        return self._length

    @property
    def count(self) -> int:
        """Return the number of shards."""
        return len(self._shards)

    def get(self, key: bytes) -> Pair | None:
        """Return both numbers of a key; None where it is not there."""
        spread = hash(key)
        place = spread & self._mask
        if place < self._divided:
            place = spread & self._wider
        shard = self._shards[place]
        at = shard.find(key)
        if at % self._size or len(shard) & 1:
            return None if at < 0 else self._numbers(shard, key)
        first, second = _read_narrow(shard, at + self._width)
        return first, second

    def get_all(self, other: Self, keys: Sequence[bytes]) -> list[Pair | None]:
        """Return the same for many keys, in less time for each; keys of another width are looked for in ``other``."""
        width, stride = self._width, NARROW.size
        shards, mask, wider, divided = self._shards, self._mask, self._wider, self._divided
        shards2, mask2, wider2, divided2 = other._shards, other._mask, other._wider, other._divided
        found = [
            shards[place if (place := spread & mask) >= divided else spread & wider]
            if len(key) == width
            else shards2[place if (place := spread & mask2) >= divided2 else spread & wider2]
            for key, spread in zip(keys, map(hash, keys), strict=True)
        ]
        read, numbers, numbers2 = _read_narrow, self._numbers, other._numbers
        return [
            read(shard, at + size)
            if not (at % ((size := len(key)) + stride) or len(shard) & 1)
            else None
            if at < 0
            else (numbers if size == width else numbers2)(shard, key)
            for shard, at, key in zip(found, map(bytes.find, found, keys), keys, strict=True)
        ]

    def add(self, key: bytes, first: int, second: int) -> bool:
        """Add a key with its numbers; return False, and change nothing, where it is there already."""
        spread = hash(key)
        place = spread & self._mask
        if place < self._divided:
            place = spread & self._wider
        shards = self._shards
        shard = shards[place]
        if shard.find(key) >= 0 and self._at(shard, key) >= 0:
            return False
        if second > LARGEST_NARROW or len(shard) & 1:
            shards[place] = _shard([*self._records(shard), key + _packed(first, second)], self._size)
        else:
            shards[place] = shard + (key + _pack_narrow(first, second))
        self._length += 1
        if self._length > len(shards) * FULL:
            self._divide()
        return True

    def add_all(self, records: Sequence[tuple[bytes, int, int, T]]) -> list[T]:
        """Add many keys, in less time for each; return the last parts of those records whose keys were there already.

        Nothing of these is changed.
        """
        if not records:
            return []
        while self._length + len(records) > len(self._shards) * FULL:
            self._divide()
        shards, mask, wider, divided = self._shards, self._mask, self._wider, self._divided
        keys, firsts, seconds, _ = zip(*records, strict=True)
        places = [place if (place := spread & mask) >= divided else spread & wider for spread in map(hash, keys)]
        if max(seconds) <= LARGEST_NARROW:
            left = []
            packed = map(self._record.pack, keys, firsts, seconds)
            for at, key, place, record in zip(range(len(keys)), keys, places, packed, strict=True):
                shard = shards[place]
                if key in shard or len(shard) & 1:
                    left.append(records[at])
                else:
                    shards[place] = shard + record
            self._length += len(keys) - len(left)
            records = left
        # Never divides: there is room for all.
        return [what for key, first, second, what in records if not self.add(key, first, second)]

    def change(self, key: bytes, first: int, second: int) -> None:
        """Give a key that is there other numbers."""
        place = self._place(key)
        shard = self._shards[place]
        at = self._at(shard, key)
        record, end = key + _packed(first, second), at + self._stride(shard)
        if end - at == len(record):
            self._shards[place] = b"".join((shard[:at], record, shard[end:]))
        else:
            records = [other for other in self._records(shard) if not other.startswith(key)]
            self._shards[place] = _shard([*records, record], self._size)

    def raise_first(self, key: bytes, first: int) -> None:
        """Give a key a higher first number, if it is there; the second one stays."""
        place = self._place(key)
        shard = self._shards[place]
        at = shard.find(key)
        if at % self._size or len(shard) & 1:
            known = self._numbers(shard, key)
            if known is not None and known[0] < first:
                self.change(key, first, known[1])
            return
        at += self._width
        if _read_first(shard, at)[0] < first:
            self._shards[place] = b"".join((shard[:at], _pack_first(first), shard[at + _FIRST.size :]))

    def remove(self, key: bytes) -> bool:
        """Drop a key; return whether it was there."""
        place = self._place(key)
        shard = self._shards[place]
        at = self._at(shard, key)
        if at < 0:
            return False
        left = shard[:at] + shard[at + self._stride(shard) :]
        self._shards[place] = b"" if left == _FLAG else left
        self._length -= 1
        if self._has_too_many_shards():
            self._join()
        return True

    # --- all of them ---

    def pairs_of(self, number: int) -> list[tuple[bytes, Pair]]:
        """Return the keys of one shard with their numbers; of a shard that is not there, nothing."""
        if number >= len(self._shards) or not self._shards[number]:
            return []
        width, value = self._width, WIDE if len(self._shards[number]) & 1 else NARROW
        return [(record[:width], value.unpack_from(record, width)) for record in self._records(self._shards[number])]

    def walk(self) -> Iterator[list[bytes]]:
        """Yield the keys of one shard after the other, while others change this map.

        Each key that is there all the time is yielded, twice if its shard is divided meanwhile. No shards are joined
        until the walk ends, or nobody has the iterator any more.
        """
        self._walks += 1
        try:
            number = 0
            while number < len(self._shards):
                yield [record[: self._width] for record in self._records(self._shards[number])]
                number += 1
        finally:
            self._walks -= 1

    def tally(self, counts: Counter[int], least: int) -> Iterator[None]:
        """Count in steps how many keys have each second number, of those whose first one is ``least`` or more.

        Counts what is here when this is called, whatever comes and goes between two steps: a shard is never changed,
        but another put in its place.
        """
        return self._tally(self._shards.copy(), counts, least)

    def _tally(self, shards: Sequence[bytes], counts: Counter[int], least: int) -> Iterator[None]:
        narrow, wide = (Struct(f"<{self._width}x{numbers.format[1:]}") for numbers in (NARROW, WIDE))
        for start in range(0, len(shards), TALLIED):
            some = shards[start : start + TALLIED]
            for record, joined in (
                (narrow, b"".join([shard for shard in some if not len(shard) & 1])),
                (wide, b"".join([shard[:-1] for shard in some if len(shard) & 1])),
            ):
                counts.update([second for first, second in record.iter_unpack(joined) if first >= least])
            yield

    # --- within a shard ---

    def _place(self, key: bytes) -> int:
        """Return the number of a key's shard."""
        spread = hash(key)
        place = spread & self._mask
        return spread & self._wider if place < self._divided else place

    def _numbers(self, shard: bytes, key: bytes) -> Pair | None:
        at = self._at(shard, key)
        if at < 0:
            return None
        first, second = (WIDE if len(shard) & 1 else NARROW).unpack_from(shard, at + self._width)
        return first, second

    def _at(self, shard: bytes, key: bytes) -> int:
        """Return where a key's record begins; -1 where there is none."""
        at, stride = shard.find(key), self._stride(shard)
        while at >= 0 and at % stride:  # other bytes that look like it
            at = shard.find(key, at + 1)
        return at

    def _stride(self, shard: bytes) -> int:
        """Return the size of a record."""
        return self._size + len(_MORE) if len(shard) & 1 else self._size

    def _records(self, shard: bytes) -> list[bytes]:
        stride = self._stride(shard)
        return [shard[start : start + stride] for start in range(0, len(shard) - 1, stride)]

    # --- the number of shards ---

    def expect(self, keys: int) -> None:
        """Have as many shards as so many keys need, so that none has to be divided until there are more.

        Does so only while there are few keys: all are moved. If fewer come, ``settle`` gives the room back.
        """
        count = keys // FULL + 1
        if self._length > FEW or count <= len(self._shards):
            return
        held = [pair for number in range(len(self._shards)) for pair in self.pairs_of(number)]
        bits = count.bit_length() - 1
        self._shards = [b""] * count
        self._divided, self._mask, self._wider = count - (1 << bits), (1 << bits) - 1, (2 << bits) - 1
        self._length = 0
        for key, numbers in held:
            self.add(key, *numbers)

    def settle(self, most: int) -> bool:
        """Join shards where there are too few keys for them, at most so many; return whether more are to be joined."""
        for _ in range(most):
            if not self._has_too_many_shards():
                return False
            self._join()
        return self._has_too_many_shards()

    def _has_too_many_shards(self) -> bool:
        return self._length < (len(self._shards) - 1) * SPARSE and not self._walks

    def _divide(self) -> None:
        """Let one shard's records be spread over two."""
        shard, bit, width, stride = self._shards[self._divided], self._mask + 1, self._width, self._size
        records = self._records(shard)
        goes = [hash(record[:width]) & bit for record in records]
        halves = compress(records, map(not_, goes)), compress(records, goes)
        stay, go = (_shard(list(half), stride) if len(shard) & 1 else b"".join(half) for half in halves)
        self._shards[self._divided] = stay
        self._shards.append(go)
        self._divided += 1
        if self._divided == bit:
            self._divided, self._mask, self._wider = 0, self._wider, self._wider * 2 + 1

    def _join(self) -> None:
        """Undo the last division."""
        if not self._divided:
            self._wider, self._mask = self._mask, self._mask >> 1
            self._divided = self._mask + 1
        self._divided -= 1
        records = self._records(self._shards.pop()) + self._records(self._shards[self._divided])
        self._shards[self._divided] = _shard(records, self._size)


def _packed(first: int, second: int) -> bytes:
    return (NARROW if second <= LARGEST_NARROW else WIDE).pack(first, second)


def _shard(records: Sequence[bytes], narrow: int) -> bytes:
    """Put records, of which some may be narrow and some wide, together."""
    wide = narrow + len(_MORE)
    if any(len(record) == wide and not record.endswith(_MORE) for record in records):
        return b"".join([*(record if len(record) == wide else record + _MORE for record in records), _FLAG])
    return b"".join([record[:narrow] for record in records])
