"""What geo_re_resolve works on: rows without a country, and banned addresses that have no row yet."""

import heapq
from collections.abc import Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from bangeod.addresses import AddressKind
from bangeod.addresses import read as read_address
from bangeod.cooperative import yielding
from bangeod.jobs.ban_watch import BanWatch
from bangeod.jobs.job import Run
from bangeod.model import UNKNOWN, Row
from bangeod.store.port import Store

SORTED_AT_ONCE: Final = 5_000  # addresses; a few milliseconds


@dataclass
class Candidates:
    """The routable addresses without a country, canonical, by when they were seen last."""

    seen: dict[str, int] = field(default_factory=dict)  # seconds since the epoch; 0 where that can't be read
    banned: dict[str, Row] = field(default_factory=dict)  # rows of addresses that are banned now
    rowless: set[str] = field(default_factory=set)  # banned addresses that are not in the table yet
    partly: list[Row] = field(default_factory=list)  # rows that have something, if no country
    invalid: int = 0  # rows whose address is none
    example: str | None = None

    async def newest_first(self) -> Iterable[str]:
        """Return the addresses, what was seen last first; many are sorted in turns, and merged as they are taken."""
        when = self.seen.__getitem__
        parts = [sorted(part, key=when, reverse=True) async for part in yielding(self.seen, SORTED_AT_ONCE)]
        return heapq.merge(*parts, key=when, reverse=True)

    def consider(self, row: Row) -> None:
        """Take in a row without a country."""
        kind, ip = read_address(row.key)
        if kind is AddressKind.INVALID:
            self.invalid += 1
            self.example = self.example or row.key[:80]
        elif kind is AddressKind.GLOBAL:
            self.seen[ip] = max(row.last_seen or 0, self.seen.get(ip, 0))
            if row.geo != UNKNOWN:
                self.partly.append(row)

    def consider_banned(self, ips: Iterable[str], rows: Mapping[str, Row], now: int) -> None:
        """Take in routable addresses that are banned at ``now``, with the rows that there are of them."""
        rowless = [ip for ip in ips if ip not in rows]
        self.banned |= rows
        self.rowless.update(rowless)
        self.seen |= dict.fromkeys(rowless, now)


async def find_candidates(store: Store, bans: BanWatch, run: Run) -> Candidates:
    """Look through the table and at who is banned."""
    candidates = Candidates()
    async with aclosing(store.unresolved()) as pages:
        async for page in pages:
            for row in page:
                candidates.consider(row)
    now = int(run.clock.now())
    async for ips in yielding((await bans.banned_now(run)).addresses):  # of networks no rows are made
        banned = [ip for ip in ips if read_address(ip)[0] is AddressKind.GLOBAL]
        candidates.consider_banned(banned, await store.find(banned), now)
    return candidates
