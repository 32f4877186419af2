"""One name for each country, whichever source answers: chosen once for each country code, and kept.

Sources call a country by different names, and rename it from one file to the next. So the first write of a code
settles its name for good: the name that most rows of the table have, else CLDR's.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import Final, NamedTuple, Protocol, TypeVar

from msgspec.structs import replace

from bangeod import countries
from bangeod.model import DirtyEntry, Geo
from bangeod.store.port import Store

T = TypeVar("T")

Names = Mapping[str, str]  # of countries, by code
Counts = Mapping[tuple[str, str], int]  # of rows, by code and name as the store reads them
Find = Callable[[str], Geo | None]

_MOST_SHARED: Final = 100_000  # named places kept as shared objects
_NOT_UTF_8: Final = "\N{REPLACEMENT CHARACTER}"


class NameStore(Protocol):
    """Keeps the names across restarts of the process."""

    def load_names(self) -> Names:
        """Return the names that have been settled."""

    async def keep_names(self, names: Names) -> Names:
        """Record settled names, durably where possible; return the names that are in force.

        Names that another process has recorded meanwhile win. Never raises an OSError.
        """


class NoNameStore:
    """A NameStore that keeps nothing."""

    def load_names(self) -> Names:
        return {}

    async def keep_names(self, names: Names) -> Names:
        return names


def decide(counts: Counts) -> Names:
    """Return for each country the name that most rows have for it.

    On a tie it is CLDR's name, if that is among them, else the first in alphabetical order. What is not UTF-8 does
    not count.
    """
    by_code: dict[str, dict[str, int]] = {}
    for (code, name), count in counts.items():
        if _NOT_UTF_8 not in name:
            by_code.setdefault(code, {})[name] = count
    return {
        code: min(names, key=lambda name: (-names[name], name != countries.name(code), name))
        for code, names in by_code.items()
    }


class Renamed(NamedTuple):
    """A country whose settled name differs from the name that was given out before."""

    code: str
    before: str
    after: str


class Naming:
    """Gives countries their names. Belongs to the event loop.

    ``named`` can be called at any time; until a code's name is settled, ``named`` may give another one later.
    ``settle`` is called before anything that ``named`` returned is written.
    """

    def __init__(self, store: Store, kept: NameStore | None = None) -> None:
        self._store = store
        self._kept = kept or NoNameStore()
        self._unsaved: set[str] = set()  # codes whose names are settled, but not on disk yet
        self._told: dict[str, set[str]] = {}  # by code: names that were given out and are not settled
        self._shared: dict[Geo, Geo] = {}
        self._settling = asyncio.Lock()

    @cached_property
    def _names(self) -> dict[str, str]:
        """Return the settled names; those of earlier processes are read when the first name is asked for."""
        return dict(self._kept.load_names())

    @property
    def unsettled(self) -> bool:
        """Say whether a name has been given out that is not settled."""
        return bool(self._told)

    def name(self, code: str) -> str | None:
        """Return the current name of a country; None where there is no such country."""
        return self._names.get(code) or countries.name(code)

    def named(self, geo: Geo) -> Geo:
        """Return a place, its country under the name used in the table."""
        known = self._shared.get(geo)
        return known if known is not None else self._tell(geo)

    def naming(self, find: Find) -> Find:
        """Wrap ``find`` so that its countries have the names used here."""

        def named(ip: str) -> Geo | None:
            geo = find(ip)
            return None if geo is None else self.named(geo)

        return named

    def _tell(self, geo: Geo) -> Geo:
        code = geo.country_code
        name = None if code is None else self.name(code)
        if code is None or name is None:
            return geo
        named = geo if geo.country_name == name else geo._replace(country_name=name)
        if code not in self._names or code in self._unsaved:
            self._told.setdefault(code, set()).add(name)
            return named
        if len(self._shared) >= _MOST_SHARED:
            self._shared.clear()
        self._shared[geo] = named
        return named

    def aside(self, ask: Callable[[], T]) -> T:
        """Run ``ask``, whose results will not be written: names given out during it need not be settled."""
        told = {code: set(names) for code, names in self._told.items()}
        try:
            return ask()
        finally:
            self._told = told

    async def count(self) -> None:
        """Take the name that most rows have, for each country without a settled one; raises StoreError.

        In memory only: ``settle`` saves it.
        """
        async with self._settling:
            await self._count()

    async def _count(self) -> None:
        decided = decide(await self._store.names_by_code(but=self._names.keys()))
        new = {code: name for code, name in decided.items() if code not in self._names}
        self._names |= new
        self._unsaved |= new.keys()

    async def settle(self) -> Collection[Renamed]:
        """Settle the names that were given out, on disk as well; return those that changed by that.

        Raises StoreError where the rows can't be counted.
        """
        async with self._settling:
            if not self._names.keys() >= self._told.keys():
                await self._count()
            wanted = {code: self.name(code) or code for code in {*self._told, *self._unsaved}}
            kept = await self._kept.keep_names(wanted)
            settled = {code: kept.get(code, name) for code, name in wanted.items()}
            self._names |= settled
            self._unsaved -= settled.keys()
            self._shared.clear()
            told = [(code, before) for code in settled for before in self._told.pop(code, ())]
            return [Renamed(code, before, settled[code]) for code, before in told if before != settled[code]]


def renamed(entry: DirtyEntry, changes: Collection[Renamed]) -> DirtyEntry | None:
    """Return an entry under its country's new name; None where the country was not renamed."""
    for code, before, after in changes:
        if entry.geo[:2] == (code, before) and gives_name(entry):
            return _with_name(entry, after)
    return None


def own_name(entry: DirtyEntry, naming: Naming) -> DirtyEntry:
    """Return an entry from elsewhere, its country under the name used here."""
    return _with_name(entry, naming.named(entry.geo).country_name) if gives_name(entry) else entry


def gives_name(entry: DirtyEntry) -> bool:
    """Say whether an entry may give its row a country: an entry that corrects only the AS leaves the name as it is."""
    return entry.replaces is None or entry.replaces.country_code != entry.geo.country_code


def _with_name(entry: DirtyEntry, name: str | None) -> DirtyEntry:
    return replace(entry, geo=entry.geo._replace(country_name=name))
