"""GeoCache: where each address is, from memory, the database or the sources, and what of it is still to be written.

All of it belongs to one event loop; between two awaits nothing else runs, so there are no locks over its state.
"""

import asyncio
import math
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Final

import structlog

from bangeod.clock import Clock
from bangeod.errors import StoreError
from bangeod.geo.addresses import Kind
from bangeod.geo.addresses import read as read_address
from bangeod.geo.dirty import flush
from bangeod.geo.memory import Memory
from bangeod.geo.model import Answer, Entry, Geo, Origin, Row, Status
from bangeod.geo.resolver import Found, Resolver
from bangeod.store.port import Store

log = structlog.get_logger(__name__)

LOCAL_BATCH: Final = 500  # addresses that the local sources are asked about between two turns of the event loop
_NOW: Final[Mapping[str, int]] = {}
_LOCALLY_KNOWN: Final = {Kind.PRIVATE: Status.PRIVATE, Kind.INVALID: Status.INVALID}


class GeoCache:
    """The cache that every lookup goes through.

    ``max_entries`` bounds the table (dirty entries stay whatever it says). ``on_full`` is called where a flush
    should not wait: once when ``max_dirty`` entries are in the dirty set, and after answers that cost quota.
    """

    def __init__(
        self,
        store: Store,
        resolver: Resolver,
        clock: Clock,
        *,
        max_entries: int = 1_000_000,
        max_dirty: int = 100_000,
        on_full: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self.resolver = resolver
        self._clock = clock
        self.on_full = on_full
        self._memory = Memory(clock, max_entries=max_entries, max_dirty=max_dirty, on_full=self._tell_full)
        self._flushing = asyncio.Lock()
        self._asking = asyncio.Lock()
        self.loaded = False

    def _tell_full(self) -> None:
        self.on_full()

    def limit(self, *, max_entries: int, max_dirty: int) -> None:
        """Take up other limits."""
        self._memory.max_entries = max_entries
        self._memory.max_dirty = max_dirty
        self._memory.bound()

    # --- lookups ---

    async def lookup(self, ip: str) -> Answer:
        """Say where one address is; asks whatever may know it."""
        return (await self.lookup_batch([ip]))[0]

    async def lookup_batch(self, ips: Sequence[str]) -> list[Answer]:
        """Say where each address is, in the order asked: memory, negative cache, the row, MMDB, ip-api."""
        answers = self.lookup_cached_only(ips)
        wanted = self._to_be_resolved(answers)
        if not wanted:
            return answers
        found = await self._from_rows(wanted)
        found |= await self._from_sources([ip for ip in wanted if ip not in found])
        return self._completed(answers, found)

    def lookup_cached_only(self, ips: Sequence[str]) -> list[Answer]:
        """Say of each address what memory knows, in the order asked; asks nobody."""
        now = int(self._clock.now())
        get = self._memory.table.get
        answers = []
        for ip in ips:
            kind, canonical = read_address(ip)
            if kind is not Kind.GLOBAL:
                answers.append(Answer(ip, _LOCALLY_KNOWN[kind]))
                continue
            geo = get(canonical)
            if geo is None or geo.country_code is None:
                answers.append(Answer(ip, Status.UNRESOLVED))
            else:
                answers.append(Answer(ip, Status.RESOLVED, geo, Origin.MEMORY))
            if geo is not None:
                self._memory.seen(canonical, geo, now)
        return answers

    async def lookup_stored(self, ips: Sequence[str]) -> list[Answer]:
        """Say of each address what memory or its row knows, in the order asked; asks no source."""
        answers = self.lookup_cached_only(ips)
        return self._completed(answers, await self._from_rows(self._to_be_resolved(answers)))

    def _to_be_resolved(self, answers: Iterable[Answer]) -> list[str]:
        """Return the canonical addresses worth asking about, each once."""
        now = self._clock.monotonic()
        wanted = (read_address(answer.ip)[1] for answer in answers if answer.status is Status.UNRESOLVED)
        return [ip for ip in dict.fromkeys(wanted) if not self._memory.negative.holds(ip, now)]

    def _completed(self, answers: Iterable[Answer], found: Mapping[str, Found]) -> list[Answer]:
        """Fill in what was found, or what memory has learned meanwhile from others who asked."""
        completed = []
        for answer in answers:
            known = None
            if answer.status is Status.UNRESOLVED:
                ip = read_address(answer.ip)[1]
                known = found.get(ip) or self.recall([ip]).get(ip)
            completed.append(Answer(answer.ip, Status.RESOLVED, *known) if known else answer)
        return completed

    async def _from_rows(self, ips: Sequence[str]) -> dict[str, Found]:
        """Ask the database; one that can't answer now is no reason not to ask the sources."""
        try:
            rows = await self._store.find(ips) if ips else {}
        except StoreError as error:
            log.debug("lookup_without_database", problem=error.problem)
            return {}
        self.take_rows(rows)
        return {ip: Found(row.geo, Origin.DATABASE) for ip, row in rows.items() if row.geo.country_code is not None}

    async def _from_sources(self, ips: Sequence[str]) -> dict[str, Found]:
        """Ask the sources about what is due; what stays unknown gets a row without a country."""
        due = self.resolver.due(ips)
        found = await self.ask_local(due)
        # Before the network is asked: should that be cut short, the rows are there to be resolved later.
        self.add_rows(ip for ip in ips if ip not in found)
        rest = [ip for ip in due if ip not in found]
        if self.resolver.remote is None:
            self.resolver.put_off(rest)
        else:
            found |= await self._from_remote(rest)
        self._memory.not_found(ip for ip in ips if ip not in found)
        return found

    async def _from_remote(self, ips: Sequence[str]) -> dict[str, Found]:
        """Ask as much as may be asked now; nobody who looks up an address waits for the quota of the next minute."""
        found: dict[str, Found] = {}
        while ips and self.resolver.remote_wait() <= 0:
            size = self.resolver.remote_batch
            batch, ips = ips[:size], ips[size:]
            answers = await self.ask_remote(batch)
            if answers is None:
                break
            found |= answers
        if found:
            self.on_full()  # what cost quota is written at once
        return found

    # --- asking the sources ---

    async def ask_local(self, ips: Sequence[str], seen: Mapping[str, int] = _NOW) -> dict[str, Found]:
        """Ask the sources on this machine, whatever the backoff, and take in what they know; ``seen`` as in adopt."""
        found: dict[str, Found] = {}
        for start in range(0, len(ips), LOCAL_BATCH):
            batch = self.resolver.ask_local(ips[start : start + LOCAL_BATCH])
            self.adopt(batch, seen)
            found |= batch
            await asyncio.sleep(0)
        return found

    async def ask_remote(self, ips: Sequence[str], seen: Mapping[str, int] = _NOW) -> dict[str, Found] | None:
        """Ask the remote source about one batch, in turn with others; None where it gave no answer.

        What others have found out by then is not asked again. ``seen`` as in adopt.
        """
        async with self._asking:
            known = self.recall(ips)
            wanted = self.resolver.due(ip for ip in ips if ip not in known)
            if not wanted:
                return known
            answers = await self.resolver.ask_remote(wanted)
            if answers is None:
                return None
            self.adopt(answers, seen)
            return known | answers

    # --- what is learned ---

    def recall(self, ips: Iterable[str]) -> dict[str, Found]:
        """Return what memory has a country for, of these canonical addresses."""
        return self._memory.recall(ips)

    def adopt(self, found: Mapping[str, Found], seen: Mapping[str, int] = _NOW) -> None:
        """Take in what is known of addresses: into memory, and into the dirty set so that their rows get it.

        ``seen`` holds when addresses were last in use, in seconds since the epoch; those not in it (or at 0) are now.
        """
        self._memory.adopt(found, seen)
        self.resolver.backoff.forget(found)

    def add_rows(self, ips: Iterable[str], *, rowless: Container[str] = ()) -> None:
        """Let addresses that are new, or known to be ``rowless``, have a row, if only one without a country."""
        self._memory.add_rows(ips, rowless=rowless)

    def take_rows(self, rows: Mapping[str, Row]) -> None:
        """Take in rows of addresses that are in use: looked up, or banned."""
        self._memory.take_rows(rows)

    def see(self, ips: Iterable[str]) -> None:
        """Move ``last_seen`` of entries that are in use, like a lookup does."""
        now = int(self._clock.now())
        for ip in ips:
            geo = self.known(ip)
            if geo is not None:
                self._memory.seen(ip, geo, now)

    def forget(self, keys: Iterable[str]) -> None:
        """Drop entries whose rows were deleted; what is waiting to be written for them stays."""
        self._memory.forget(keys)

    # --- the database ---

    async def load_from_db(self) -> int:
        """Fill the table from the database, a page at a time; return how many rows were of use.

        What is waiting to be written is newer than its row and stays. Raises StoreError.
        """
        count = 0
        async with aclosing(self._store.rows()) as pages:
            async for page in pages:
                for row in page:
                    kind, ip = read_address(row.key)
                    if kind is Kind.GLOBAL:
                        self._memory.take_row(ip, row)
                        count += 1
                self._memory.bound()
        self.loaded = True
        return count

    async def flush_dirty(self, time_left: Callable[[], float] = lambda: math.inf) -> int:
        """Write the dirty set, or as much as the time allows; return how many entries were written.

        An entry leaves the dirty set once its transaction has committed, unless it has changed since. Raises
        StoreError; what isn't written stays.
        """
        async with self._flushing:
            try:
                return await flush(self._memory.dirty, self._store, self._clock.monotonic(), time_left)
            finally:
                self._memory.flushed()

    def dirty_entries(self) -> list[Entry]:
        """Return what is waiting to be written."""
        return self._memory.dirty.entries()

    def restore_dirty(self, entries: Iterable[Entry]) -> None:
        """Take back what an earlier process could not write; what is no routable address is left out."""
        self._memory.restore(entries)

    # --- figures and clearing ---

    @property
    def entries(self) -> int:
        """Return how many addresses memory holds."""
        return len(self._memory.table)

    @property
    def dirty(self) -> int:
        """Return how many entries wait to be written."""
        return len(self._memory.dirty)

    @property
    def refused(self) -> int:
        """Return how many of these the database has refused lately."""
        return self._memory.dirty.set_aside(self._clock.monotonic())

    @property
    def negative(self) -> int:
        """Return how many addresses are known not to be found."""
        return len(self._memory.negative)

    def known(self, ip: str) -> Geo | None:
        """Return what memory holds of a canonical address."""
        return self._memory.table.get(ip)

    def clear(self) -> None:
        """Forget all entries but those that wait to be written."""
        self._memory.clear()
        self.loaded = False

    def clear_neg_cache(self) -> None:
        """Let addresses that were not found be looked up again, as far as their backoff allows."""
        self._memory.negative.clear()
