"""What geo_re_resolve works on: rows without a country, and banned addresses that have no row yet."""

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

from bangeod.geo.addresses import Kind
from bangeod.geo.addresses import read as read_address
from bangeod.geo.model import Row
from bangeod.jobs.bans import BanSource, banned_now
from bangeod.store.port import Store


@dataclass
class Candidates:
    """The routable addresses without a country, canonical, by when they were seen last."""

    seen: dict[str, int] = field(default_factory=dict)  # seconds since the epoch; 0 where that can't be read
    banned: Mapping[str, Row] = field(default_factory=dict)  # rows of addresses that are banned now
    rowless: frozenset[str] = frozenset()  # banned addresses that are not in the table yet
    invalid: int = 0  # rows whose address is none
    example: str | None = None

    def newest_first(self) -> list[str]:
        """Return the addresses, what was seen last first."""
        return sorted(self.seen, key=self.seen.__getitem__, reverse=True)

    def consider(self, row: Row) -> None:
        """Take in a row without a country."""
        kind, ip = read_address(row.key)
        if kind is Kind.INVALID:
            self.invalid += 1
            self.example = self.example or row.key[:80]
        elif kind is Kind.GLOBAL:
            self.seen[ip] = max(row.last_seen or 0, self.seen.get(ip, 0))


async def find_candidates(store: Store, bans: BanSource | None, now: int) -> Candidates:
    """Look through the table and at who is banned."""
    candidates = Candidates()
    async with aclosing(store.unresolved()) as pages:
        async for page in pages:
            for row in page:
                candidates.consider(row)
    banned = [ip for ip in await banned_now(bans, now) if read_address(ip)[0] is Kind.GLOBAL]
    if banned:
        candidates.banned = await store.find(banned)
        candidates.rowless = frozenset(banned) - candidates.banned.keys()
        candidates.seen |= dict.fromkeys(candidates.rowless, now)
    return candidates
