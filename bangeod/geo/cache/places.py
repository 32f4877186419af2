"""The places that entries are in, by number, in some fifty bytes each.

A million addresses have some ten thousand distinct places. As objects and keys of a dict these take half a kilobyte
each; here a place is a few bytes: the number of its country, that of its AS, and the organisation as UTF-8. Those in
use at the moment are kept as objects as well, within a bound.
"""

from array import array
from collections.abc import Callable
from struct import Struct
from typing import Final

from bangeod.geo.cache.shards import LARGEST, Shards
from bangeod.model import UNKNOWN, Geo

KEPT: Final = 8_192  # places that are kept as objects; up to twice as many at times
_HEAD: Final = Struct("<HI")  # country, times 2, plus 1 with an organisation; number of the AS, 0 for none
_ODD: Final = 0xFFFF  # in place of the country: the other number is that of a place kept as it is
_MOST_COUNTRIES: Final = 0x7FFF
_MOST_DIGITS: Final = 10
_KEY_SIZE: Final = 4  # bytes
_KEY: Final = 0xFFFF_FFFF
_HEAD_SIZE: Final = _HEAD.size
_SHIFTS: Final = (0, 16, 32)  # of the hash, where another record has the same part of it
_ERRORS: Final = "surrogatepass"  # a row's text may hold lone surrogates

_read_head: Final = _HEAD.unpack_from
_new: Final[Callable[[type[Geo], tuple[object, ...]], Geo]] = tuple.__new__  # Geo's own takes three times as long

Country = tuple[str | None, str | None]  # code and name


class Places:
    """Places by number, and numbers by place; 0 is ``UNKNOWN``. A place that was added stays.

    Values other than text, as a row may hold them, come back as they were.
    """

    def __init__(self) -> None:
        self._countries: list[Country] = [UNKNOWN[:2]]
        self._numbers_of_countries: dict[Country, int] = {UNKNOWN[:2]: 0}
        self._odd: list[Geo] = []
        self._numbers_of_odd: dict[str, int] = {}
        self._records = bytearray()
        self._ends = array("Q", [0])  # where each place's record ends, and the next one's begins
        self._index = Shards(_KEY_SIZE)  # numbers, by a part of the record's hash
        self._geos: dict[int, Geo] = {}
        self._numbers: dict[Geo, int] = {}
        self._earlier_geos = self._geos  # what was in use before these two were begun anew
        self._earlier_numbers = self._numbers
        self.number(UNKNOWN)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def geo(self, number: int) -> Geo:
        """Return the place with a number."""
        return self._geos.get(number) or self._geo(number)

    @property
    def kept(self) -> Callable[[int], Geo | None]:
        """Return what gives those of the places that are kept as objects now."""
        return self._geos.get

    def number(self, geo: Geo) -> int:
        """Return the number of a place, a new one where it has none yet."""
        number = self._numbers.get(geo)
        return self._number(geo) if number is None else number

    # --- those in use, as objects ---

    def _geo(self, number: int) -> Geo:
        geo = self._geos.get(number) or self._earlier_geos.get(number)
        if geo is None:
            start, end = self._ends[number], self._ends[number + 1]
            country: int
            holder: int
            country, holder = _read_head(self._records, start)
            if country == _ODD:
                return self._odd[holder]
            code, name = self._countries[country >> 1]
            org = self._records[start + _HEAD_SIZE : end].decode("utf-8", _ERRORS) if country & 1 else None
            geo = _new(Geo, (code, name, f"AS{holder}" if holder else None, org))
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
        spread, added = hash(record), len(self)
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
        country, holder = self._country((code, name)), _as_number(asn)
        if country is None or holder is None:
            return None
        if org is None:
            return _HEAD.pack(country * 2, holder)
        return _HEAD.pack(country * 2 + 1, holder) + org.encode("utf-8", _ERRORS) if type(org) is str else None

    def _country(self, country: Country) -> int | None:
        """Return the number of a country under one of its names; None where it can't have one."""
        number = self._numbers_of_countries.get(country)
        if number is None and len(self._countries) < _MOST_COUNTRIES and _is_text(country):
            number = self._numbers_of_countries[country] = len(self._countries)
            self._countries.append(country)
        return number

    def _odd_record(self, geo: Geo) -> bytes:
        written = repr(geo)
        number = self._numbers_of_odd.setdefault(written, len(self._odd))
        if number == len(self._odd):
            self._odd.append(geo)
        return _HEAD.pack(_ODD, number)


def _is_text(country: Country) -> bool:
    """Say whether code and name are text, as far as they are known: a row may hold other values."""
    return all(value is None or type(value) is str for value in country)


def _as_number(asn: str | None) -> int | None:
    """Return the number of an AS, 0 of none; None where the number alone would not give the same text."""
    if asn is None:
        return 0
    if type(asn) is not str:  # a row may hold other values
        return None
    digits = asn[2:]
    if not digits.isdecimal() or len(digits) > _MOST_DIGITS:
        return None
    number = int(digits)
    return number if 0 < number <= LARGEST and asn == f"AS{number}" else None
