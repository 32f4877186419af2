"""What geo databases cover: the IP versions for which they know countries, and those for which they know an AS."""

from collections.abc import Iterable
from typing import Final, NamedTuple

IPV4: Final = 4
IPV6: Final = 6
_NONE: Final = frozenset[int]()


class Coverage(NamedTuple):
    """The IP versions, 4 and 6, for which a file knows a field of some addresses, not of all."""

    countries: frozenset[int] = _NONE
    systems: frozenset[int] = _NONE  # autonomous systems

    def __str__(self) -> str:
        """Return it as text: ``countries and AS of IPv4 and IPv6``, ``AS of IPv4, no countries``."""
        if self.countries == self.systems:
            return f"countries and AS of {_versions(self.countries)}" if self.countries else "no routable address"
        parts = [f"countries of {_versions(self.countries)}"] if self.countries else []
        parts += [f"AS of {_versions(self.systems)}"] if self.systems else []
        return ", ".join(parts) if self.countries else f"{parts[0]}, no countries"


def _versions(versions: Iterable[int]) -> str:
    return " and ".join(f"IPv{version}" for version in sorted(versions))


def together(coverages: Iterable[Coverage]) -> Coverage:
    """Return the coverage of several files merged field by field."""
    parts = list(coverages)
    return Coverage(_NONE.union(*(part.countries for part in parts)), _NONE.union(*(part.systems for part in parts)))
