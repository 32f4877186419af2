"""The addresses that geo_re_resolve works on: rows without a country, and banned addresses without a row."""

import heapq
from collections.abc import Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from bangeod.addresses import AddressKind, read_address
from bangeod.banned import NOT_READ, Reading
from bangeod.cooperative import yielding
from bangeod.jobs.ban_watch import BanWatch
from bangeod.jobs.job import Run
from bangeod.model import UNKNOWN, Row
from bangeod.store.port import Store

SORTED_AT_ONCE: Final = 5_000  # addresses; a few milliseconds


@dataclass
class Candidates:
    """The routable addresses without a country, canonical, by the time they were last seen."""

    seen: dict[str, int] = field(default_factory=dict)  # seconds since the epoch; 0 if the time can't be read
    banned: dict[str, Row] = field(default_factory=dict)  # rows of addresses that are banned now
    rowless: set[str] = field(default_factory=set)  # banned addresses that are not in the table yet
    partly: list[Row] = field(default_factory=list)  # rows that have some other field, but no country
    bans: Reading = NOT_READ  # who is banned, as it was read for this
    invalid: int = 0  # rows whose key is not an address
    example: str | None = None

    async def newest_first(self) -> Iterable[str]:
        """Return the addresses, last seen first; large numbers are sorted in parts, and merged as they are taken."""
        when = self.seen.__getitem__
        parts = [sorted(part, key=when, reverse=True) async for part in yielding(self.seen, SORTED_AT_ONCE)]
        return heapq.merge(*parts, key=when, reverse=True)

    def consider(self, row: Row) -> None:
        kind, ip = read_address(row.key)
        if kind is AddressKind.INVALID:
            self.invalid += 1
            self.example = self.example or row.key[:80]
        elif kind is AddressKind.GLOBAL:
            self.seen[ip] = max(row.last_seen or 0, self.seen.get(ip, 0))
            if row.geo != UNKNOWN:
                self.partly.append(row)

    def consider_banned(self, ips: Iterable[str], rows: Mapping[str, Row], now: int) -> None:
        """Add routable addresses that are banned at ``now``, with the rows that exist for them."""
        rowless = [ip for ip in ips if ip not in rows]
        self.banned |= rows
        self.rowless.update(rowless)
        self.seen |= dict.fromkeys(rowless, now)


async def find_candidates(store: Store, bans: BanWatch, run: Run) -> Candidates:
    """Search the table and the bans."""
    candidates = Candidates()
    async with aclosing(store.unresolved()) as pages:
        async for page in pages:
            for row in page:
                candidates.consider(row)
    now = int(run.clock.now())
    candidates.bans = await bans.look(run)
    async for ips in yielding(candidates.bans.banned.addresses):  # networks get no rows
        banned = [ip for ip in ips if read_address(ip)[0] is AddressKind.GLOBAL]
        candidates.consider_banned(banned, await store.find(banned), now)
    return candidates
