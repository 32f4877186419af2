"""GeoCache: finds where addresses are, from memory, the database or the sources, and keeps what is still to be written.

All of it belongs to one event loop; between two awaits nothing else runs, so its state needs no locks.
"""

import asyncio
import math
from collections import ChainMap
from collections.abc import AsyncIterator, Callable, Collection, Container, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final, cast

import structlog

from bangeod.addresses import AddressKind, read_address
from bangeod.clock import SECONDS_A_DAY, Clock
from bangeod.cooperative import yielding
from bangeod.errors import StoreError
from bangeod.geo.cache import verification
from bangeod.geo.cache.contents import Memory
from bangeod.geo.cache.dirty import flush
from bangeod.geo.cache.loading import load
from bangeod.geo.cache.naming import Naming, Renamed, own_name, renamed
from bangeod.geo.cache.resolver import Found, Resolver, with_fleet, without_country
from bangeod.geo.cache.tally import Counted
from bangeod.model import UNKNOWN, Answer, DirtyEntry, Geo, Origin, Row, Status
from bangeod.store.port import Store

log = structlog.get_logger(__name__)

LOCAL_BATCH: Final = 500  # addresses that the local sources are asked about between two turns of the event loop
RENAMED: Final = 2_000  # entries that are renamed between two turns of the event loop
LOOKED_UP: Final = 2_000  # addresses that are looked up together, with one question to the database
_NOW: Final[Mapping[str, int]] = {}
CLAIMED_TTL: Final = 10.0  # seconds until it is looked again for what another host asks about
DATABASE_SECONDS: Final = 1.0  # for the rows of a lookup while the database is busy; the client waits for two

LOCALLY_KNOWN: Final = {AddressKind.PRIVATE: Status.PRIVATE, AddressKind.INVALID: Status.INVALID}

Unresolved = dict[int, str]  # canonical addresses, by their index among the answers
Look = Callable[[Memory, Clock, Sequence[str]], tuple[list[Answer], Unresolved]]

# Bound to names once: in a loop over a million addresses each attribute access costs.
_GLOBAL: Final = AddressKind.GLOBAL
_RESOLVED: Final = Status.RESOLVED
_UNRESOLVED: Final = Status.UNRESOLVED
_MEMORY: Final = Origin.MEMORY


class GeoCache:
    """The cache that every lookup goes through.

    ``max_entries`` bounds memory's table (dirty entries stay even above it). ``flush_soon`` is called when a flush
    should not wait: once when ``max_dirty`` entries are in the dirty set, and after answers that cost quota.
    ``learned`` is called each time sources have told where an address is.
    """

    def __init__(
        self,
        store: Store,
        resolver: Resolver,
        clock: Clock,
        *,
        naming: Naming | None = None,
        max_entries: int = 5_000_000,
        max_dirty: int = 100_000,
        flush_soon: Callable[[], None] = lambda: None,
        learned: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self.resolver = resolver
        self.naming = naming or Naming(store)
        self._clock = clock
        self._flush_soon = flush_soon
        self._learned = learned
        self._memory = Memory(
            clock,
            max_entries=max_entries,
            max_dirty=max_dirty,
            flush_soon=flush_soon,
            on_seen=None if resolver.fleet is None else resolver.fleet.seen,
        )
        self._flushing = asyncio.Lock()
        self._asking = asyncio.Lock()
        self.loaded = False
        self.loads = 0  # how often the table was filled from the database
        self.progress: float | None = None  # how much of the database has been read, from 0 to 1, while it is

    def limit(self, *, max_entries: int, max_dirty: int) -> None:
        self._memory.limit(max_entries, max_dirty)

    # --- lookups ---

    async def lookup(self, ip: str) -> Answer:
        """Return where one address is; asks the database and the sources where needed."""
        return (await self.lookup_batch([ip]))[0]

    async def lookup_batch(self, ips: Sequence[str]) -> list[Answer]:
        """Return where each address is, in the order asked.

        If an address is neither in memory nor in the negative cache, the database and the local sources are asked
        together, then the fleet, then the remote source.
        """
        return await self._lookup(ips, _look)

    async def lookup_unknown(self, ips: Sequence[str]) -> list[Answer]:
        """Return the same for addresses of which memory has just said that it does not know their country."""
        return await self._lookup(ips, _pass_over)

    async def _lookup(self, ips: Sequence[str], look: Look) -> list[Answer]:
        answers: list[Answer] = []
        for start in range(0, len(ips), LOOKED_UP):
            part, unresolved = look(self._memory, self._clock, ips[start : start + LOOKED_UP])
            if unresolved:
                found = await self._resolve(_unasked(self._memory, self._clock, unresolved))
                _complete(self._memory, part, unresolved, found)
            answers += part
            await asyncio.sleep(0)
        return answers

    def lookup_cached_only(self, ips: Sequence[str]) -> list[Answer]:
        """Return what memory knows of each address, in the order asked; asks neither database nor source."""
        return _look(self._memory, self._clock, ips)[0]

    def lookup_written(self, ips: Sequence[str], write: Callable[[Geo], str]) -> list[str | Answer]:
        """Return what memory knows of each address: of one with a country what ``write``, always the same, makes of it.

        So no object has to be made for each of many addresses, nor of each of many places.
        """
        return _look_written(self._memory, self._clock, ips, write)

    def worth_asking(self, ips: Iterable[str]) -> bool:
        """Say whether any of these addresses, unknown to memory, may be found: not if all are in the negative cache."""
        return _worth_asking(self._memory, self._clock, ips)

    async def lookup_stored(self, ips: Sequence[str]) -> list[Answer]:
        """Return what memory or the row knows of each address, in the order asked; asks no source."""
        answers, unresolved = _look(self._memory, self._clock, ips)
        found = await self._take_rows(await self._rows_of(_unasked(self._memory, self._clock, unresolved)))
        _complete(self._memory, answers, unresolved, found)
        return answers

    async def _resolve(self, ips: Sequence[str]) -> dict[str, Found]:
        """Ask the database and the sources; an address left without a country gets a row without one.

        The local sources are asked while the database is read; where a row has a country, the row's answer is used.
        """
        if not ips:
            return {}
        due = self.resolver.due(ips)
        batches = [due[start : start + LOCAL_BATCH] for start in range(0, len(due), LOCAL_BATCH)]
        local, changes = [], self.resolver.changes
        async with asyncio.TaskGroup() as group:  # on cancellation the database read stops too
            reading = group.create_task(self._rows_of(ips))
            for batch in batches:
                await asyncio.sleep(0)
                local.append(self.resolver.ask_local(batch))
        found = await self._take_rows(reading.result())
        theirs = await self._of_fleet(without_country(ips, found), local)
        for number, batch in enumerate(batches):
            if number:
                await asyncio.sleep(0)
            # If the files have changed, their old answers must not overwrite what was verified since.
            said = local[number] if self.resolver.changes == changes else self.resolver.ask_local(batch)
            said = {ip: known for ip, known in said.items() if ip not in found}
            self._share(said)
            found |= self.adopt(with_fleet(said, {ip: theirs.pop(ip) for ip in batch if ip in theirs}))
        found |= self.adopt(theirs)  # of addresses that the local sources need not be asked about
        missing = without_country(ips, found)
        if missing:
            found |= await self._from_afar(missing, without_country(due, found))
        return found

    async def _of_fleet(self, ips: Sequence[str], local: Iterable[dict[str, Found]]) -> dict[str, Found]:
        """Ask the fleet about addresses whose rows have no country; ``local`` has what the local sources said."""
        if self.resolver.fleet is None or not ips:
            return {}
        return await self.resolver.ask_fleet(ips, ChainMap(*local))

    async def _rows_of(self, ips: Sequence[str]) -> Mapping[str, Row]:
        """Ask the database; if it can't answer now, the sources are asked all the same."""
        try:
            async with asyncio.timeout(DATABASE_SECONDS):
                return await self._store.find(ips) if ips else {}
        except (StoreError, TimeoutError) as error:
            log.debug("lookup_without_database", problem=getattr(error, "problem", "it takes too long"))
            return {}

    async def _take_rows(self, rows: Mapping[str, Row]) -> dict[str, Found]:
        pairs = list(rows.items())
        for start in range(0, len(pairs), LOCAL_BATCH):  # where the table is full, other entries have to go first
            if start:
                await asyncio.sleep(0)
            self.take_rows(dict(pairs[start : start + LOCAL_BATCH]))
        return {ip: Found(row.geo, Origin.DATABASE) for ip, row in rows.items() if row.geo.country_code is not None}

    async def _from_afar(self, ips: Sequence[str], due: Sequence[str]) -> dict[str, Found]:
        """Ask the remote source about the addresses that are due; those still unknown get a row without a country."""
        found: dict[str, Found] = {}
        claimed: Sequence[str] = ()
        # Before the network is asked: if that is cut short, the rows are there to be resolved later.
        self.add_rows(ips)
        if self.resolver.remote is None:
            self.resolver.put_off(self.resolver.due(due))  # another lookup may have done so
        else:
            found, claimed = await self._from_remote(due)
        self._memory.not_found(without_country(ips, found))
        self._memory.not_found(claimed, CLAIMED_TTL)
        return found

    async def _from_remote(self, ips: Sequence[str]) -> tuple[dict[str, Found], Sequence[str]]:
        """Ask as much as may be asked now; no lookup waits for the quota of the next minute.

        Return what was found, and those that were passed over because another host asks about them.
        """
        found: dict[str, Found] = {}
        claimed: list[str] = []
        while ips and self.resolver.remote_wait() <= 0:
            choice = await self.resolver.choose(ips)
            claimed += choice.claimed
            answers, ips = await self.ask_remote(choice.batch), choice.rest
            if answers is None:
                break
            found |= answers
        if found:
            self._flush_soon()  # answers that cost quota are written at once
        return found, claimed

    # --- asking the sources ---

    async def ask_local(self, ips: Sequence[str], seen: Mapping[str, int] = _NOW) -> dict[str, Found]:
        """Ask the local sources, whatever the backoff says, then the fleet, and adopt what they know.

        ``seen`` as in adopt.
        """
        found: dict[str, Found] = {}
        async for batch in yielding(ips, LOCAL_BATCH):
            said, changes = self.resolver.ask_local(batch), self.resolver.changes
            theirs = await self.resolver.ask_fleet(batch, said)
            if self.resolver.changes != changes:
                said = self.resolver.ask_local(batch)
            self._share(said, seen)
            found |= self.adopt(with_fleet(said, theirs), seen)
        return found

    async def ask_remote(self, ips: Sequence[str], seen: Mapping[str, int] = _NOW) -> dict[str, Found] | None:
        """Ask the remote source about one batch, one caller after another; None where it gave no answer.

        Addresses that other callers have resolved by then are not asked about again. ``seen`` as in adopt.
        """
        async with self._asking:
            known = self.recall(ips)
            wanted = self.resolver.due(ip for ip in ips if ip not in known)
            if not wanted:
                return known
            answers = await self.resolver.ask_remote(wanted)
            if answers is None:
                return None
            self._share(answers, seen)
            return known | self.adopt(self._memory.completed(answers, held_first=True), seen)

    # --- what other hosts learn, and what is learned from them ---

    def _share(self, said: Mapping[str, Found], seen: Mapping[str, int] = _NOW) -> None:
        """Let the fleet have the countries that sources of this host's gave; ``seen`` as in adopt."""
        fleet = self.resolver.fleet
        if fleet is not None and said:
            now = int(self._clock.now())
            for ip, known in said.items():
                if known.resolved:
                    fleet.found(ip, known.geo, known.origin, last_seen=seen.get(ip) or now, resolved_at=now)

    def _share_moved(self, ip: str, said: Geo) -> None:
        """Let the fleet have what an MMDB that has changed says; that is no use of the address."""
        self._share({ip: Found(said, Origin.MMDB)}, {ip: self._memory.table.last_seen(ip)})

    async def told_of(self, ips: Iterable[str]) -> None:
        """Read from the fleet what another host has written of these addresses, canonical and routable.

        Those that memory has without a country are resolved by it. What memory does not hold, the fleet keeps at hand
        for a lookup, so that the table does not grow by addresses that nobody has asked about here.
        """
        fleet = self.resolver.fleet
        if fleet is None:
            return
        async for some in yielding(ips, LOCAL_BATCH):
            table = self._memory.table
            entries = dict(zip(some, table.find(some), strict=True))
            wanted = [ip for ip, entry in entries.items() if entry is None or not table.place(entry[1]).country_code]
            places = await fleet.read_again(wanted) if wanted else {}
            seen = {ip: entry[0] for ip in places if (entry := entries[ip]) is not None}
            known = self.recall(seen)  # what was found meanwhile
            self._memory.negative.discard_all(places)
            self.adopt(self.resolver.from_fleet({ip: places[ip] for ip in seen if ip not in known}), seen)

    async def delete_shared(self, before: int, time_left: Callable[[], float]) -> int:
        """Delete what this host has shared and not seen since ``before`` (epoch seconds); return how much that was."""
        fleet = self.resolver.fleet
        return 0 if fleet is None else await fleet.delete_stale(before, time_left)

    # --- what is learned ---

    def recall(self, ips: Iterable[str]) -> dict[str, Found]:
        """Return those of these canonical addresses for which memory has a country."""
        return self._memory.recall(ips)

    def adopt(self, found: Mapping[str, Found], seen: Mapping[str, int] = _NOW) -> dict[str, Found]:
        """Take in what is known of addresses, to be written to their rows too; return it completed by what memory knew.

        ``seen`` holds when addresses were last in use, in seconds since the epoch; missing or 0 means now.
        """
        whole = self._memory.adopt(found, seen)
        self.resolver.backoff.forget(ip for ip, known in whole.items() if known.resolved)
        if found:
            self._learned()
        return whole

    def add_rows(self, ips: Iterable[str], *, rowless: Container[str] = ()) -> None:
        """Give a row, if need be without a country, to addresses that are new or known to be ``rowless``."""
        self._memory.add_rows(ips, rowless=rowless)

    def hold(self, rows: Sequence[Row]) -> None:
        """Take in rows as the table has them; their addresses need not be in use."""
        self._memory.load(rows)

    def take_rows(self, rows: Mapping[str, Row]) -> None:
        """Take in rows of addresses that are in use: looked up or banned."""
        self._memory.take_rows(rows)

    async def see(self, ips: Sequence[str]) -> None:
        """Move ``last_seen`` of addresses that are in use, as a lookup does; until all is loaded, of their rows too.

        Asks no source and makes no row. If the database can't be read, the rows stay as they are.
        """
        self._memory.see(ips)
        if not self.loaded:
            absent = [ip for ip in ips if ip not in self._memory.table and read_address(ip)[0] is _GLOBAL]
            await self._take_rows(await self._rows_of(absent))

    def forget(self, keys: Iterable[str]) -> None:
        """Drop entries whose rows were deleted; entries that wait to be written stay."""
        self._memory.forget(keys)

    async def follow(self, ips: Sequence[str]) -> list[str]:
        """Read the rows of canonical addresses that others have changed or deleted, and have memory follow.

        Returns those that wait to be written, or were learned meanwhile: of these memory may know more than the row, so
        they are to be read again later. Raises StoreError.
        """
        dirty, find = self._memory.dirty, self._memory.table.find
        settled = [ip for ip in ips if ip not in dirty]
        before = find(settled)
        rows = await self._store.find(settled)
        learned: set[str] = set()
        async for some in yielding(zip(settled, before, strict=True), LOCAL_BATCH):
            same = [ip for (ip, entry), now in zip(some, find([ip for ip, _ in some]), strict=True) if entry == now]
            learned.update(ip for ip, _ in some)
            learned.difference_update(same)
            self._memory.follow(same, rows)
        return [ip for ip in ips if ip in learned or ip in dirty]

    async def verify(self, find: verification.Find) -> verification.Verified:
        """Compare every entry that has a country with what ``find``, the MMDBs, says; changed ones wait to be written.

        What is in another country now the fleet is told, too.
        """
        return await verification.verify(self._memory, self.naming.naming(find), moved=self._share_moved)

    # --- the database ---

    async def load_from_db(self) -> int:
        """Fill memory's table from the database; return how many rows were usable. Raises StoreError.

        Entries that wait to be written stay as they are.
        """
        self.progress = 0.0
        try:
            count = await load(self._memory, self._store, self._came_to)
        finally:
            self.progress = None
        self.loaded = True
        self.loads += 1
        with suppress(StoreError):  # it is tried again before a name is written
            await self.naming.count()
        return count

    def _came_to(self, share: float) -> None:
        self.progress = share

    async def flush_dirty(self, time_left: Callable[[], float] = lambda: math.inf) -> int:
        """Write the dirty set, or as much as the time allows; return how many entries were written.

        An entry leaves the dirty set once its transaction has committed, unless it has changed since. Raises
        StoreError; entries not written stay. What the fleet is to have is written too, whatever becomes of the rest.
        """
        try:
            async with self._flushing:
                now = self._clock.monotonic()
                written = await _flush_named(self._memory, self.naming, self._store, now, time_left)
        except StoreError:
            await self._flush_to_fleet(time_left)
            raise
        await self._flush_to_fleet(time_left)
        return written

    async def _flush_to_fleet(self, time_left: Callable[[], float]) -> None:
        if self.resolver.fleet is not None:
            await self.resolver.fleet.flush(time_left)

    def dirty_entries(self) -> list[DirtyEntry]:
        return self._memory.dirty.entries()

    def restore_dirty(self, entries: Iterable[DirtyEntry]) -> None:
        """Take back what an earlier process could not write, except what is no routable address."""
        self._memory.restore(own_name(entry, self.naming) for entry in entries)

    # --- counting ---

    def places(self, *, since: int = 0) -> AsyncIterator[list[Counted]]:
        """Iterate over the places of memory's entries as they are now, each with how many of them are there.

        Counts the entries last seen at ``since`` or later, in seconds since the epoch.
        """
        return self._memory.table.tally(since).places()

    async def places_of(self, ips: Iterable[str]) -> AsyncIterator[list[Geo | None]]:
        """Iterate over the places of canonical addresses: by memory, else by their rows; None if one is not routable.

        They come in no order, some at a time. Asks no source, changes nothing, and is no use of the addresses.
        """
        async for some in yielding(ips):
            table = self._memory.table
            places: list[Geo | None] = []
            absent: list[str] = []
            for ip, entry in zip(some, table.find(some), strict=True):
                if entry is not None:
                    places.append(table.place(entry[1]))
                elif read_address(ip)[0] is _GLOBAL:
                    absent.append(ip)
                else:
                    places.append(None)
            rows = await self._rows_of(absent)
            yield places + [rows[ip].geo if ip in rows else UNKNOWN for ip in absent]

    # --- figures and clearing ---

    @property
    def entries(self) -> int:
        return len(self._memory.table)

    @property
    def is_full(self) -> bool:
        """Return whether another entry would drive one out, so that the table may have rows that are not in memory."""
        return self._memory.holds_max_entries

    @property
    def dirty(self) -> int:
        return len(self._memory.dirty)

    @property
    def not_kept(self) -> int:
        """Return how often a new address was answered but not kept, because too many entries waited."""
        return self._memory.not_kept

    @property
    def refused(self) -> int:
        """Return how many of the dirty entries the database has refused lately."""
        return self._memory.dirty.set_aside(self._clock.monotonic())

    @property
    def negative(self) -> int:
        """Return how many addresses the negative cache holds."""
        return len(self._memory.negative)

    def known(self, ip: str) -> Geo | None:
        """Return what memory holds of a canonical address."""
        return self._memory.table.get(ip)

    def clear(self) -> None:
        """Forget all entries except those that wait to be written."""
        self._memory.clear()
        self.loaded = False

    def clear_neg_cache(self) -> None:
        """Let addresses that were not found be looked up again, as far as their backoff allows."""
        self._memory.negative.clear()


# --- answering from memory, listing what is left to ask about, and filling in what was found ---


def _look(memory: Memory, clock: Clock, ips: Sequence[str]) -> tuple[list[Answer], Unresolved]:
    """Answer from memory, in the order asked, and return what it can't answer. Moves ``last_seen``."""
    now = int(clock.now())
    yesterday = now - SECONDS_A_DAY
    kept, place = memory.table.kept, memory.table.place
    answers: list[Answer] = []
    answer = answers.append
    unresolved: Unresolved = {}
    for ip, entry in zip(ips, memory.table.find(ips), strict=True):
        known = UNKNOWN
        if entry is None:
            kind, canonical = read_address(ip)
            if kind is not _GLOBAL:
                answer(Answer(ip, LOCALLY_KNOWN[kind]))
                continue
        else:
            seen, number = entry
            known = kept(number) or place(number)
            if seen > yesterday and known.country_code is not None:
                answer(Answer(ip, _RESOLVED, known, _MEMORY))
                continue
            canonical = _canonical(ip)
            if seen <= yesterday:
                memory.seen_again(canonical, known, now)
            if known.country_code is not None:
                answer(Answer(ip, _RESOLVED, known, _MEMORY))
                continue
        unresolved[len(answers)] = canonical
        answer(Answer(ip, _UNRESOLVED, known))
    return answers, unresolved


def _pass_over(_memory: Memory, _clock: Clock, ips: Sequence[str]) -> tuple[list[Answer], Unresolved]:
    """Return the same as ``_look`` where memory has no country for any of these, without looking there."""
    unresolved: Unresolved = {}
    answers: list[Answer] = []
    for place, ip in enumerate(ips):
        kind, canonical = read_address(ip)
        if kind is _GLOBAL:
            unresolved[place] = canonical
            answers.append(Answer(ip, _UNRESOLVED))
        else:
            answers.append(Answer(ip, LOCALLY_KNOWN[kind]))
    return answers, unresolved


def _look_written(memory: Memory, clock: Clock, ips: Sequence[str], write: Callable[[Geo], str]) -> list[str | Answer]:
    """Answer from memory as ``_look`` does, but in writing where there is a country. Moves ``last_seen``."""
    now = int(clock.now())
    hot = memory.table.hot
    known = hot.get_all(ips, now)
    if None not in known:
        return cast("list[str | Answer]", known)
    yesterday = now - SECONDS_A_DAY
    table = memory.table
    kept = table.kept_written
    places = [place for place, text in enumerate(known) if text is None]
    answers: list[str | Answer | None] = [*known]
    for place, entry in zip(places, table.find([ips[place] for place in places]), strict=True):
        ip = ips[place]
        if entry is None:
            kind = read_address(ip)[0]
            answers[place] = Answer(ip, _UNRESOLVED if kind is _GLOBAL else LOCALLY_KNOWN[kind])
            continue
        seen, number = entry
        if seen <= yesterday:
            memory.seen_again(_canonical(ip), table.place(number), seen := now)
        text = kept(number) or table.written(number, write)
        if text is None:
            answers[place] = Answer(ip, _UNRESOLVED, table.place(number))
        else:
            answers[place] = text
            hot.keep(ip, text, seen=seen, now=now)
    return cast("list[str | Answer]", answers)


def _canonical(ip: str) -> str:
    """Return the canonical form of an address; all that is an IPv4 address is in that form."""
    return ip if ":" not in ip else read_address(ip)[1]


def _unasked(memory: Memory, clock: Clock, unresolved: Unresolved) -> list[str]:
    """Return the canonical addresses worth asking about, each once: not those in the negative cache."""
    wanted = dict.fromkeys(unresolved.values())
    if not memory.negative:
        return list(wanted)
    now = clock.monotonic()
    return [ip for ip in wanted if not memory.negative.holds(ip, now)]


def _worth_asking(memory: Memory, clock: Clock, ips: Iterable[str]) -> bool:
    """Say whether any of these addresses, spelled as asked, may be found: not if all are in the negative cache."""
    if not memory.negative:
        return True
    now = clock.monotonic()
    return not all(memory.negative.holds(read_address(ip)[1], now) for ip in ips)


def _complete(memory: Memory, answers: list[Answer], unresolved: Unresolved, found: Mapping[str, Found]) -> None:
    """Fill in what was found, or what memory has learned meanwhile through other lookups.

    An answer without a country has no origin, whichever source knew the rest of it.
    """
    geo_of = memory.table.get
    for place, ip in unresolved.items():
        known = found.get(ip)
        if known is None or not known.resolved:
            geo = geo_of(ip)
            if geo is not None and geo.country_code is not None:
                known = Found(geo, _MEMORY)
            elif known is None:
                known = Found(geo or UNKNOWN, _MEMORY)
        if known.resolved:
            answers[place] = Answer(answers[place].ip, _RESOLVED, known.geo, known.origin)
        elif known.geo != UNKNOWN:
            answers[place] = Answer(answers[place].ip, _UNRESOLVED, known.geo)


# --- flushing, each country under its one name ---


async def _flush_named(memory: Memory, naming: Naming, store: Store, now: float, time_left: Callable[[], float]) -> int:
    """Settle the country names of waiting entries, then write what the time allows; return how many were written.

    Raises StoreError; entries not written stay.
    """
    try:
        # Once more where lookups have named another country meanwhile; after that nothing can intervene.
        while memory.dirty and naming.unsettled:
            if changes := await naming.settle():
                await _rename(memory, changes)
        return await flush(memory.dirty, store, now, time_left)
    finally:
        memory.flushed()


async def _rename(memory: Memory, changes: Collection[Renamed]) -> None:
    async for some in yielding(memory.dirty.entries(), RENAMED):
        for waited in some:
            entry = renamed(waited, changes)
            if entry is not None:
                memory.replace_waiting(waited, entry)
