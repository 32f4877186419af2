"""Memory: what the cache holds, namely the table of entries, the dirty set and the negative cache, kept consistent.

No I/O; belongs to one event loop. Addresses are canonical, and every entry of the dirty set is in memory's table too.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence, Sized
from typing import Final

from msgspec.structs import replace

from bangeod.addresses import AddressKind, is_global, octets_of_all, read_address, text_of
from bangeod.clock import SECONDS_A_DAY, Clock
from bangeod.geo.cache.backoff import NegativeCache
from bangeod.geo.cache.dirty import DirtySet
from bangeod.geo.cache.places import WalkedPlaces
from bangeod.geo.cache.recent_changes import RecentChanges
from bangeod.geo.cache.resolver import Found
from bangeod.geo.cache.table import EntryTable
from bangeod.model import UNKNOWN, DirtyEntry, Geo, Origin, Row, merge
from bangeod.store.port import Page
from bangeod.trouble import Trouble

MOST_DIRTY: Final = 2  # times max_dirty: as much room again for what arrives during a flush
EVICTIONS: Final = 6  # at a time; at a million entries each takes some four milliseconds and makes room for 200


class Memory:
    """Entries, bounded by ``max_entries`` (dirty entries stay even above it).

    ``flush_soon`` is called once when ``max_dirty`` entries are in the dirty set. At ``MOST_DIRTY`` times as many, new
    addresses are not kept: they can be found again when they are next asked for. ``on_seen`` is told of an address that
    is in use again, with the time, in seconds since the epoch.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        max_entries: int,
        max_dirty: int,
        flush_soon: Callable[[], None],
        on_seen: Callable[[str, int], None] | None = None,
    ) -> None:
        self._clock = clock
        self._on_seen = on_seen
        self.max_entries = max_entries
        self.max_dirty = max_dirty
        self._flush_soon = flush_soon
        self.table = EntryTable()
        self.changes = RecentChanges()
        self.dirty = DirtySet(self.changes.note)
        self.negative = NegativeCache()
        self.not_kept = 0  # how often a new address was not kept, so far
        self._told_full = False
        self._full = Trouble("dirty_set_full", "dirty_set_recovered", repeats=False)

    @property
    def holds_max_entries(self) -> bool:
        """Say whether another entry would drive one out."""
        return len(self.table) >= self.max_entries

    def limit(self, max_entries: int, max_dirty: int) -> None:
        self.max_entries, self.max_dirty = max_entries, max_dirty
        self.bound()

    # --- what is learned ---

    def completed(self, found: Mapping[str, Found], *, held_first: bool = False) -> dict[str, Found]:
        """Return what sources said with what is held filled in, of addresses that have had no country so far.

        What the sources say now wins, except with ``held_first``: then what is held came from the local sources, and
        the rest from the remote one.
        """
        whole = dict(found)
        for (ip, said), entry in zip(found.items(), self.table.find(list(found)), strict=True):
            if entry is None:
                continue
            held = self.table.place(entry[1])
            if held.country_code is None and held != UNKNOWN:
                geo = merge(held, said.geo) if held_first else merge(said.geo, held)
                whole[ip] = Found(geo, said.origin)
        return whole

    def adopt(self, found: Mapping[str, Found], seen: Mapping[str, int]) -> dict[str, Found]:
        """Take in what sources said, or what memory knew and a row did not; return it completed.

        ``seen`` holds when addresses were last in use, in seconds since the epoch; missing or 0 means now.
        An answer without a country is written only if it is news; then the row's AS follows as a corrected one does.
        """
        now = int(self._clock.now())
        whole, others = dict(found), dict(found)
        if self._has_room_for_all(found):
            new = [DirtyEntry(ip, known.geo, seen.get(ip) or now, now) for ip, known in found.items()]
            for ip in self._learn_new(new):
                del others[ip]
        if others:
            others = self.completed(others)
            whole |= others
            for ip, known in others.items():
                self._adopt(ip, known.geo, seen.get(ip) or now, now)
        self.bound()
        return whole

    def _adopt(self, ip: str, geo: Geo, last_seen: int, now: int) -> None:
        replaces = None
        if geo.country_code is None:
            replaces = held = self.table.get(ip)
            if held is not None and (held.country_code is not None or held == geo):
                return
        else:
            self.negative.discard(ip)
        if not self._has_room_for(ip):
            return
        waiting = self.dirty.get(ip)
        if waiting is not None:
            last_seen, replaces = max(last_seen, waiting.last_seen), waiting.replaces
        self._learn(DirtyEntry(ip, geo, last_seen, now, replaces))

    def correct(self, ip: str, geo: Geo) -> None:
        """Move an entry that has a country to another place; its row follows if it still holds what memory did."""
        held = self.table.entry(ip)
        if held is None:
            return
        now = int(self._clock.now())
        waiting = self.dirty.get(ip)
        replaces = (waiting and waiting.replaces) or held[0]
        # A row that does not say when it was last seen counts as seen now: else the cleanup would delete it.
        self._learn(DirtyEntry(ip, geo, held[1] if held[1] > 0 else now, now, replaces))

    def add_rows(self, ips: Iterable[str], *, rowless: Container[str] = ()) -> None:
        """Give a row, if need be without a country, to addresses that are new or known to be ``rowless``."""
        now = int(self._clock.now())
        others = dict.fromkeys(ips)
        if self._has_room_for_all(others):
            for ip in self._learn_new([DirtyEntry(ip, UNKNOWN, last_seen=now, resolved_at=now) for ip in others]):
                del others[ip]
        for ip in others:
            absent = ip not in self.table
            if (absent or (ip in rowless and ip not in self.dirty)) and self._has_room_for(ip):
                self._learn(DirtyEntry(ip, self.table.get(ip) or UNKNOWN, last_seen=now, resolved_at=now))
        self.bound()

    def not_found(self, ips: Iterable[str], seconds: float | None = None) -> None:
        """Put addresses into the negative cache, for its usual time or for so many seconds."""
        now = self._clock.monotonic()
        for ip in ips:
            self.negative.add(ip, now, seconds)

    def take_rows(self, rows: Mapping[str, Row]) -> None:
        """Take in rows of addresses that are in use: looked up or banned."""
        now = int(self._clock.now())
        for ip, row in rows.items():
            known = self.table.get(ip)
            if known is None or known.country_code is None:
                self.take_row(ip, row)
            else:  # the entry may have been corrected and written since the row was read
                self.table.put(ip, known, row.last_seen or 0)
            self.seen(ip, self.table.get(ip) or row.geo, now)
        self.bound()

    def take_row(self, ip: str, row: Row) -> None:
        """Take in a row; never overwrites what is not written yet, or what another row of the address holds.

        The AS of a row without a country may be older than what memory learned since.
        """
        geo, known = row.geo, self.table.get(ip)
        if known is not None and known != UNKNOWN:
            if known.country_code is not None:
                geo = known if geo.country_code is None or ip in self.dirty else geo
            elif geo.country_code is None:
                geo = merge(known, geo)
        self.table.put(ip, geo, row.last_seen or 0)

    def follow(self, ips: Iterable[str], rows: Mapping[str, Row]) -> None:
        """Take in the rows of these addresses as others have just written them; an address without a row has lost it.

        What waits to be written stays as it is: no row is newer than that.
        """
        for ip in ips:
            row = rows.get(ip)
            if row is None:
                self.forget([ip])
            elif ip not in self.dirty:
                self.take_row(ip, row)
                self.changes.note(ip)
                if row.geo.country_code is not None:
                    self.negative.discard(ip)
        self.bound()

    def expect(self, first: Page) -> None:
        """Prepare for the rows of a table whose first page this is, if there are many like these."""
        if first and first.share > 0:
            ipv6 = sum(":" in row.key for row in first) / len(first)
            rows = min(len(first) / first.share, self.max_entries)
            self.table.expect(int(rows * (1 - ipv6)), int(rows * ipv6))

    def load(self, rows: Sequence[Row], places: WalkedPlaces | None = None) -> int:
        """Take in rows as the table has them; return how many of them are of routable addresses.

        Addresses that have changed since the rows were read are passed over. ``places`` are those of the walk that the
        rows come from.
        """
        pairs = zip(octets_of_all([row.key for row in rows]), rows, strict=True)
        routable = [pair for pair in pairs if pair[0] and is_global(pair[0])]
        count = len(routable)
        if self.changes:
            routable = [pair for pair in routable if text_of(pair[0]) not in self.changes]
        if routable:
            addresses, taken = zip(*routable, strict=True)
            for address, row in self.table.add_all(addresses, taken, places or WalkedPlaces()):
                self.take_row(text_of(address), row)
        self.bound()
        return count

    def restore(self, entries: Iterable[DirtyEntry]) -> None:
        """Take back what an earlier process could not write, except what is no routable address."""
        for entry in entries:
            if entry.ip not in self.dirty and read_address(entry.ip) == (AddressKind.GLOBAL, entry.ip):
                self._learn(entry)
        self.bound()

    def replace_waiting(self, waited: DirtyEntry, entry: DirtyEntry) -> None:
        """Replace the waiting entry ``waited`` by ``entry``, if it still waits."""
        if self.dirty.get(waited.ip) is waited:
            self._learn(entry)

    def see(self, ips: Iterable[str]) -> None:
        """Move ``last_seen`` of entries that are in use, as a lookup does."""
        now = int(self._clock.now())
        for ip in ips:
            geo = self.table.get(ip)
            if geo is not None:
                self.seen(ip, geo, now)

    def seen(self, ip: str, geo: Geo, now: int) -> None:
        """Move ``last_seen`` of an entry forward, at most once a day, so that lookups cost few writes."""
        if now - self.table.last_seen(ip) >= SECONDS_A_DAY:
            self.seen_again(ip, geo, now)

    def seen_again(self, ip: str, geo: Geo, now: int) -> None:
        """Move ``last_seen`` of an entry that is in the table, and was last seen a day ago or longer."""
        waiting = self.dirty.get(ip)
        entry = replace(waiting, geo=geo, last_seen=now) if waiting else DirtyEntry(ip, geo, now, resolved_at=now)
        self.table.see(ip, now)
        self._wait(entry)
        if self._on_seen is not None:
            self._on_seen(ip, now)

    def _learn(self, entry: DirtyEntry) -> None:
        self.table.put(entry.ip, entry.geo, entry.last_seen)
        self._wait(entry)

    def _learn_new(self, entries: Sequence[DirtyEntry]) -> Iterable[str]:
        """Learn those whose addresses are not in the table, together: that takes less time for each. Return these."""
        new = self.table.add_new(entries)
        self.negative.discard_all(entry.ip for entry in new if entry.geo.country_code is not None)
        self.dirty.put_new(new)
        self._tell_if_full()
        return [entry.ip for entry in new]

    def _wait(self, entry: DirtyEntry) -> None:
        """Let an entry wait to be written."""
        self.dirty.put(entry)
        self._tell_if_full()

    def _tell_if_full(self) -> None:
        if len(self.dirty) >= self.max_dirty and not self._told_full:
            self._told_full = True
            self._flush_soon()

    def _has_room_for_all(self, ips: Sized) -> bool:
        """Say whether entries for all these addresses may wait to be written."""
        return len(self.dirty) + len(ips) <= MOST_DIRTY * self.max_dirty

    def _has_room_for(self, ip: str) -> bool:
        """Say whether an entry for this address may wait to be written; if not, count and log it."""
        if len(self.dirty) < MOST_DIRTY * self.max_dirty or ip in self.table:
            return True
        self.not_kept += 1
        self._full.tell(waiting=len(self.dirty), advice="new addresses are answered, but not kept")
        return False

    # --- what is known, and what goes ---

    def recall(self, ips: Iterable[str]) -> dict[str, Found]:
        """Return those of these addresses that have a country."""
        places = ((ip, self.table.get(ip)) for ip in ips)
        return {ip: Found(geo, Origin.MEMORY) for ip, geo in places if geo is not None and geo.country_code is not None}

    def flushed(self) -> None:
        """Note that a flush has ended: if it made room in the dirty set, ``flush_soon`` can be called again."""
        self._told_full = len(self.dirty) >= self.max_dirty
        if not self._told_full:
            self._full.is_over(waiting=len(self.dirty))

    def bound(self) -> None:
        """Make room where there are too many entries: those seen longest ago go, unless they are dirty."""
        for _ in range(EVICTIONS):
            excess = len(self.table) - self.max_entries
            if excess <= 0 or len(self.table) <= len(self.dirty) or not self.table.evict(excess, self.dirty):
                return

    def forget(self, keys: Iterable[str]) -> None:
        """Drop entries whose rows were deleted; dirty ones stay. Keys are as the table has them."""
        for key in keys:
            ip = read_address(key)[1]
            self.changes.note(ip)
            if ip not in self.dirty:
                self.table.remove(ip)
                self.negative.discard(ip)

    def clear(self) -> None:
        """Forget all entries except those that wait to be written."""
        self.table.clear()
        self.negative.clear()
        for entry in self.dirty.entries():
            self.table.put(entry.ip, entry.geo, entry.last_seen)
