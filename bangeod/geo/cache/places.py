"""The places that entries are in, by number, in some fifty bytes each.

A million addresses have some ten thousand distinct places. As objects and keys of a dict these take half a kilobyte
each; here a place is the number of its country, then AS and organisation as UTF-8. Those in use at the moment are kept
as objects as well, within a bound.
"""

from array import array
from collections.abc import Callable, Sequence
from typing import Final, cast

from bangeod.geo.cache.shards import Shards
from bangeod.model import UNKNOWN, Geo

KEPT: Final = 4_096  # places that are kept as objects, a quarter of a kilobyte each; up to twice as many at times
KEPT_OF_WALK: Final = 8_192  # places of a walk that are known by their objects: the first that come
OTHERS: Final = 16 * KEPT_OF_WALK  # times that others come, after which those that come from then on are kept instead
KEPT_WRITTEN: Final = 16_384  # places that are kept as they are written, likewise
_HEAD: Final = 2  # octets: the number of the country
_END: Final = "\0"  # of the AS; the organisation follows
_MOST_COUNTRIES: Final = 0xFFFF  # with their names
_ODD: Final = _MOST_COUNTRIES.to_bytes(_HEAD, "little")  # in place of the country: the number of a place kept as it is
_ODD_SIZE: Final = 4  # octets of that number
_KEY_SIZE: Final = 4  # octets
_KEY: Final = 0xFFFF_FFFF
_SHIFTS: Final = (0, 16, 32)  # of the hash, where another record has the same part of it
_ERRORS: Final = "surrogatepass"  # a row's text may hold lone surrogates

_new: Final[Callable[[type[Geo], tuple[object, ...]], Geo]] = tuple.__new__  # Geo's own takes three times as long

Write = Callable[[Geo], str]
Country = tuple[str | None, str | None]  # code and name


class Places:
    """Places by number, and numbers by place; 0 is ``UNKNOWN``. A place that was added stays.

    Values other than text, as a row may hold them, come back as they were.
    """

    def __init__(self) -> None:
        self._countries: list[Country] = [UNKNOWN[:2]]
        self._heads: dict[Country, bytes] = {UNKNOWN[:2]: bytes(_HEAD)}  # the records' beginnings
        self._odd: list[Geo] = []
        self._numbers_of_odd: dict[str, int] = {}
        self._records = bytearray()
        self._ends = array("Q", [0])  # where each place's record ends, and the next one's begins
        self._index = Shards(_KEY_SIZE)  # numbers, by a part of the record's hash
        self._geos: dict[int, Geo] = {}
        self._numbers: dict[Geo, int] = {}
        self._written: dict[int, str] = {}
        self._earlier_geos = self._geos  # what was in use before these three were begun anew
        self._earlier_numbers = self._numbers
        self._earlier_written = self._written
        self.number(UNKNOWN)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def geo(self, number: int) -> Geo:
        """Return the place with a number."""
        return self._geos.get(number) or self._geo(number)

    def geo_once(self, number: int) -> Geo:
        """Return the same, without keeping it as an object, since it is not expected again soon."""
        return self._geos.get(number) or self._read(number)

    @property
    def kept(self) -> Callable[[int], Geo | None]:
        """Return what gives those of the places that are kept as objects now."""
        return self._geos.get

    @property
    def kept_written(self) -> Callable[[int], str | None]:
        """Return what gives those of the places that are kept as they are written."""
        return self._written.get

    def written(self, number: int, write: Write) -> str | None:
        """Return what ``write``, the same each time, makes of a place, and keep it; None of one without a country."""
        text = self._written.get(number) or self._earlier_written.get(number)
        if text is None:
            geo = self._geos.get(number) or self._earlier_geos.get(number) or self._read(number)
            if geo.country_code is None:
                return None
            text = write(geo)
        if len(self._written) >= KEPT_WRITTEN:
            self._earlier_written, self._written = self._written, {}
        self._written[number] = text
        return text

    def number(self, geo: Geo) -> int:
        """Return the number of a place, a new one where it has none yet."""
        number = self._numbers.get(geo)
        return self._number(geo) if number is None else number

    def numbers(self, geos: Sequence[Geo]) -> list[int]:
        """Return the number of each of many places, in less time for each."""
        numbers = list(map(self._numbers.get, geos))
        if None not in numbers:
            return cast("list[int]", numbers)
        return [self.number(geo) if number is None else number for geo, number in zip(geos, numbers, strict=True)]

    def number_once(self, geo: Geo) -> int:
        """Return the same of a place that is not kept as an object, since it is not expected again soon."""
        return self._numbered(self._record(geo) or self._odd_record(geo))

    # --- those in use, as objects ---

    def _geo(self, number: int) -> Geo:
        geo = self._geos.get(number) or self._earlier_geos.get(number)
        if geo is None:
            geo = self._read(number)
        start = self._ends[number]
        if self._records[start : start + _HEAD] != _ODD:
            self._keep(number, geo)
        return geo

    def _number(self, geo: Geo) -> int:
        number = self._earlier_numbers.get(geo)
        if number is None:
            record = self._record(geo)
            if record is None:
                return self._numbered(self._odd_record(geo))
            number = self._numbered(record)
        self._keep(number, geo)
        return number

    def _keep(self, number: int, geo: Geo) -> None:
        """Keep a place of text as an object. Not one of other values: to a dict, 1 and True are the same."""
        if len(self._geos) >= KEPT:
            self._earlier_geos, self._earlier_numbers = self._geos, self._numbers
            self._geos, self._numbers = {}, {}
        self._geos[number] = geo
        self._numbers[geo] = number

    # --- all of them, packed ---

    def _numbered(self, record: bytes) -> int:
        """Return the number of the place with this record; add it where there is none."""
        spread, added = hash(record), len(self._ends) - 1
        for shift in _SHIFTS:
            key = (spread >> shift & _KEY).to_bytes(_KEY_SIZE)
            known = self._index.get(key)
            if known is None:
                self._index.add(key, added, 0)
                break
            number = known[0]
            if self._records[self._ends[number] : self._ends[number + 1]] == record:
                return number
        self._records += record
        self._ends.append(len(self._records))
        return added

    def _record(self, geo: Geo) -> bytes | None:
        """Return a place, packed; None where it can't be, so that it has to be kept as it is."""
        code, name, asn, org = geo
        country = self._heads.get((code, name)) or self._new_country((code, name))
        if country is None or not (_fits(asn) and _fits(org)) or (asn and _END in asn):
            return None
        return country + f"{asn or ''}{_END}{org or ''}".encode("utf-8", _ERRORS)

    def _new_country(self, country: Country) -> bytes | None:
        """Give a country under another name a number; None where it can't have one."""
        if len(self._countries) >= _MOST_COUNTRIES or not all(value is None or type(value) is str for value in country):
            return None
        head = self._heads[country] = len(self._countries).to_bytes(_HEAD, "little")
        self._countries.append(country)
        return head

    def _read(self, number: int) -> Geo:
        record = self._records[self._ends[number] : self._ends[number + 1]]
        country = record[0] | record[1] << 8
        if country == _MOST_COUNTRIES:
            return self._odd[int.from_bytes(record[_HEAD:], "little")]
        asn, _, org = record[_HEAD:].decode("utf-8", _ERRORS).partition(_END)
        return _new(Geo, (*self._countries[country], asn or None, org or None))

    def _odd_record(self, geo: Geo) -> bytes:
        written = repr(geo)
        number = self._numbers_of_odd.setdefault(written, len(self._odd))
        if number == len(self._odd):
            self._odd.append(geo)
        return _ODD + number.to_bytes(_ODD_SIZE, "little")


class WalkedPlaces:
    """The numbers of places that come as the same objects again and again, as in a walk over all rows.

    An object is known by its identity. That takes a tenth of the time that its texts take.
    """

    def __init__(self) -> None:
        self._places: Places | None = None
        self._begin(None)

    def numbers(self, places: Places, geos: Sequence[Geo]) -> list[int]:
        """Return the numbers that ``places`` has for these, new ones where it has none yet."""
        if places is not self._places:
            self._begin(places)
        numbers = list(map(self._numbers.get, map(id, geos)))
        if None not in numbers:
            return cast("list[int]", numbers)
        return [
            self._number(places, geo) if number is None else number for geo, number in zip(geos, numbers, strict=True)
        ]

    def _begin(self, places: Places | None) -> None:
        self._places = places
        self._numbers: dict[int, int] = {}
        self._geos: list[Geo] = []  # keeps them, since another object may get the identity of one that is gone
        self._others = 0  # how often one was not kept

    def _number(self, places: Places, geo: Geo) -> int:
        number = self._numbers.get(id(geo))  # it may have come twice
        if number is not None:
            return number
        number = places.number_once(geo)
        if len(self._geos) < KEPT_OF_WALK:
            self._numbers[id(geo)] = number
            self._geos.append(geo)
        else:
            self._others += 1
            if self._others == OTHERS:
                self._begin(places)
        return number


def _fits(text: str | None) -> bool:
    """Say whether this can be packed as the AS or the organisation: a row may hold other values, and empty text."""
    return text is None or (type(text) is str and text != "")
