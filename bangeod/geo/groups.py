"""Groups of addresses, by country or by network, and which of them are the largest."""

import heapq
from abc import ABC, abstractmethod
from collections import Counter
from itertools import islice
from typing import Final, NamedTuple

from bangeod import countries
from bangeod.cooperative import yielding
from bangeod.model import Geo

SORTED_AT_ONCE: Final = 1_000  # groups; a millisecond or two

_Rank = tuple[int, bool, str | None]  # of a name, which comes last
_NAMELESS: Final[_Rank] = (0, True, None)
_NO_NUMBER: Final = "\0"  # before the name of an organisation without a number, in place of that


class Group(NamedTuple):
    """What some addresses have in common, and how many they are."""

    place: Geo
    addresses: int


class Groups(ABC):
    """Counts addresses by group. A group goes by the name under which most of its addresses come."""

    def __init__(self) -> None:
        self.unknown = 0  # addresses that belong to no group
        self._counts: Counter[str] = Counter()
        self._names: Counter[tuple[str, str]] = Counter()

    def __len__(self) -> int:
        return len(self._counts)

    @property
    def total(self) -> int:
        """Return how many addresses belong to some group."""
        return self._counts.total()

    def add(self, place: Geo, count: int = 1) -> None:
        """Count some addresses that are in the same place."""
        key, name = self._key(place), self._name(place)
        if key is None:
            self.unknown += count
            return
        self._counts[key] += count
        if name is not None:
            self._names[key, name] += count

    async def largest(self, most: int) -> list[Group]:
        """Return the largest groups, the largest first. Sorts many in parts, so that the event loop is never held."""
        names = await self._best_names()
        ranks = ((-count, key) for key, count in self._counts.items())
        parts = [sorted(part) async for part in yielding(ranks, SORTED_AT_ONCE)]
        found: list[Group] = []
        async for some in yielding(islice(heapq.merge(*parts), most)):
            found += [Group(self._place(key, names.get(key, _NAMELESS)[-1]), -negative) for negative, key in some]
        return found

    async def _best_names(self) -> dict[str, _Rank]:
        """Rank the names of each group, and return the best: that of most addresses; on a tie the usual one."""
        best: dict[str, _Rank] = {}
        async for some in yielding(self._names.items()):
            for (key, name), count in some:
                rank = -count, name != self._usual_name(key), name
                best[key] = min(best.get(key, rank), rank)
        return best

    @abstractmethod
    def _key(self, place: Geo) -> str | None:
        """Return the group that a place belongs to; None if it belongs to none."""

    @abstractmethod
    def _name(self, place: Geo) -> str | None:
        """Return the name that a place has for its group; None if it has none."""

    @abstractmethod
    def _place(self, key: str, name: str | None) -> Geo:
        """Return what the addresses of a group have in common."""

    def _usual_name(self, _key: str) -> str | None:
        return None


class ByCountry(Groups):
    """Groups by the country's code."""

    def _key(self, place: Geo) -> str | None:
        return place.country_code

    def _name(self, place: Geo) -> str | None:
        return place.country_name

    def _place(self, key: str, name: str | None) -> Geo:
        return Geo(key, name or self._usual_name(key))

    def _usual_name(self, key: str) -> str | None:
        return countries.name(key)


class ByNetwork(Groups):
    """Groups by the number of the autonomous system; by the organisation where no number is known."""

    def _key(self, place: Geo) -> str | None:
        return place.asn if place.asn or place.org is None else f"{_NO_NUMBER}{place.org}"

    def _name(self, place: Geo) -> str | None:
        return place.org

    def _place(self, key: str, name: str | None) -> Geo:
        return Geo(asn=None if key.startswith(_NO_NUMBER) else key, org=name)
