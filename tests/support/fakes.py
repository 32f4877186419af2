"""Sources, bans and stores that live in memory, for tests of what asks them."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing

from bangeod.banned import Reading, read_banned, sort_out
from bangeod.errors import SourceError, SourcePausedError, StoreError, StoreRefusedError
from bangeod.geo.cache.cache import GeoCache
from bangeod.geo.cache.naming import Naming
from bangeod.geo.cache.resolver import Resolver
from bangeod.geo.sources import LocalSource, RemoteSource
from bangeod.model import DirtyEntry, Geo, Origin
from bangeod.store.memory import MemoryStore
from bangeod.store.port import endless
from tests.support.manual_clock import ManualClock

GERMANY = Geo("DE", "Germany", "AS64500", "Example")
FRANCE = Geo("FR", "France")


class LocalTable:
    """A local source over a dict; remembers what it was asked."""

    def __init__(self, places: Mapping[str, Geo] | None = None, origin: Origin = Origin.MMDB) -> None:
        self.places = dict(places or {})
        self.origin = origin
        self.asked: list[str] = []

    def find(self, ip: str) -> Geo | None:
        self.asked.append(ip)
        return self.places.get(ip)


class RemoteTable:
    """A remote source over a dict. What it knows to be nowhere maps to None; what is not in the dict it leaves out.

    ``faults`` are raised by the next requests, one each. ``gate`` holds requests while it is cleared. While
    ``pause_until`` (monotonic) lies ahead it must not be asked; it says so itself then. With ``quota`` it pauses
    for a minute after so many requests. What is in ``elsewhere``, another host has claimed.
    """

    origin = Origin.IP_API

    def __init__(self, clock: ManualClock, places: Mapping[str, Geo | None] | None = None) -> None:
        self._clock = clock
        self.places = dict(places or {})
        self.batch_size = 3
        self.requests: list[list[str]] = []
        self.times: list[float] = []  # monotonic, of each request
        self.faults: list[SourceError] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.in_flight = 0
        self.most_in_flight = 0
        self.pause_until = 0.0
        self.quota: int | None = None
        self.elsewhere: set[str] = set()
        self.unknown_for: dict[str, float] = {}  # what each request was told about its addresses

    def wait(self) -> float:
        return max(0.0, self.pause_until - self._clock.monotonic())

    async def claimed(self, ips: Sequence[str]) -> Collection[str]:
        return self.elsewhere.intersection(ips)

    async def resolve(self, ips: Sequence[str], unknown_for: Callable[[str], float]) -> Mapping[str, Geo | None]:
        self.unknown_for = {ip: unknown_for(ip) for ip in ips}
        if self.wait() > 0:
            raise SourcePausedError("ip-api", "paused", self.wait())
        assert len(ips) <= self.batch_size
        self.requests.append(list(ips))
        self.times.append(self._clock.monotonic())
        if self.quota is not None and len(self.requests) % self.quota == 0:
            self.pause(60)
        self.in_flight += 1
        self.most_in_flight = max(self.in_flight, self.most_in_flight)
        try:
            await self.gate.wait()
        finally:
            self.in_flight -= 1
        if self.faults:
            raise self.faults.pop(0)
        return {ip: self.places[ip] for ip in ips if ip in self.places}

    def pause(self, seconds: float) -> None:
        """Must not be asked for so long."""
        self.pause_until = self._clock.monotonic() + seconds

    @property
    def asked(self) -> list[str]:
        """Every address of every request."""
        return [ip for request in self.requests for ip in request]


class Bans:
    """Who is banned (addresses and networks), or why that can't be told.

    What ``next_readings`` holds is answered first, one a time; ``errors_after`` so many answers the next is an error.
    """

    def __init__(self, *banned: str, error: StoreError | None = None) -> None:
        self.reading = sort_out(((what, "sshd") for what in map(read_banned, banned) if what), frozenset())
        self.next_readings: list[Reading] = []
        self.error = error
        self.errors_after: dict[int, StoreError] = {}
        self.asked = 0

    async def banned(self, now: int, within: float) -> Reading:
        error = self.errors_after.get(self.asked, self.error)
        self.asked += 1
        if error is not None:
            raise error
        return self.next_readings.pop(0) if self.next_readings else self.reading


class SourcesInHand:
    """The sources in use, as the test wants them; it may change them."""

    def __init__(self, local: Sequence[LocalSource] = (), remote: RemoteSource | None = None) -> None:
        self.local = local
        self.remote = remote


class NamesInMemory:
    """What a state file keeps of the names of countries. ``elsewhere`` are those that another process decides on."""

    def __init__(self, names: Mapping[str, str] | None = None, elsewhere: Mapping[str, str] | None = None) -> None:
        self.names = dict(names or {})
        self.elsewhere = dict(elsewhere or {})

    def load_names(self) -> Mapping[str, str]:
        return self.names

    async def keep_names(self, names: Mapping[str, str]) -> Mapping[str, str]:
        await asyncio.sleep(0)
        self.names = {**names, **self.elsewhere, **self.names}
        return {code: self.names[code] for code in names}


class RefusingStore(MemoryStore):
    """A store with a trigger that raises on some addresses: nothing of the slice is written then."""

    def __init__(self, refused: Iterable[str], *, slice_size: int = 4) -> None:
        super().__init__(slice_size=slice_size)
        self.refuses = set(refused)
        self.slice_size = slice_size
        self.attempts = 0

    async def write(
        self, entries: Sequence[DirtyEntry], *, time_left: Callable[[], float] = endless
    ) -> AsyncGenerator[Sequence[DirtyEntry], None]:
        for start in range(0, len(entries), self.slice_size):
            part = entries[start : start + self.slice_size]
            self.attempts += 1
            if any(entry.ip in self.refuses for entry in part):
                raise StoreRefusedError("memory", "the database refused a row", "look at its triggers")
            async with aclosing(super().write(part)) as slices:
                async for _ in slices:
                    pass
            yield part


class World:
    """A cache with all that it stands on. ``names`` are those that countries have already."""

    def __init__(self, store: MemoryStore | None = None, *, names: NamesInMemory | None = None, **limits: int) -> None:
        self.clock = ManualClock()
        self.store = store or MemoryStore()
        self.local = LocalTable()
        self.names = names or NamesInMemory({"DE": "Germany", "FR": "France"})
        self.naming = Naming(self.store, self.names)
        self.sources = SourcesInHand([self.local])
        self.resolver = Resolver(self.clock, self.sources, named=self.naming.named)
        self.full = 0  # how often a flush was asked for
        self.learned = 0  # how often the cache said that it has learned something
        self.cache = GeoCache(
            self.store,
            self.resolver,
            self.clock,
            naming=self.naming,
            flush_soon=self._flush_soon,
            learned=self._learned,
            **limits,
        )

    def _flush_soon(self) -> None:
        self.full += 1

    def _learned(self) -> None:
        self.learned += 1

    def with_remote(self, places: Mapping[str, Geo | None]) -> RemoteTable:
        """Put a remote source in force."""
        remote = RemoteTable(self.clock, places)
        self.sources.remote = remote
        return remote

    @property
    def now(self) -> int:
        return int(self.clock.now())

    @property
    def dirty(self) -> dict[str, DirtyEntry]:
        return {entry.ip: entry for entry in self.cache.dirty_entries()}
