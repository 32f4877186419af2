"""Data like that of a server which has run fail2ban for years: made up, and the same in every run."""

import itertools
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from bangeod.addresses import AddressKind, read_address
from bangeod.clock import SECONDS_A_DAY, to_text
from bangeod.countries import name as country_name
from bangeod.model import UNKNOWN, DirtyEntry, Geo

NETWORKS = 60_000
RETENTION_DAYS = 90
_IPV6_SHARE = 0.05
_UNRESOLVED_SHARE = 0.02
_COUNTRIES = ("US", "CN", "DE", "NL", "RU", "IN", "BR", "VN", "FR", "GB", "SG", "KR", "HK", "ID", "TW", "JP", "UA")
_WORDS = ("Amber", "Nordic", "Global", "Data", "Tele", "Cloud", "Metro", "Fibre", "Pacific", "Hosting", "Cable", "Net")
_KINDS = ("LLC", "GmbH", "B.V.", "Co., Ltd.", "S.A.", "Communications", "Broadband", "Internet Services")


class GeoRow(NamedTuple):
    """A row of geo_cache, as the web app made it."""

    ip: str
    country_code: str | None
    country_name: str | None
    asn: str | None
    org: str | None
    cached_at: str
    last_seen: str


def networks(count: int = NETWORKS, seed: int = 1) -> list[Geo]:
    """Make the networks that addresses lie in, the busiest first."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        code = chance.choice(_COUNTRIES)
        org = f"{chance.choice(_WORDS)} {chance.choice(_WORDS)} {number} {chance.choice(_KINDS)}"
        made.append(Geo(code, country_name(code), f"AS{chance.randrange(1, 400_000)}", org))
    return made


def addresses(count: int, seed: int = 2, *, ipv6: float = _IPV6_SHARE) -> list[str]:
    """Make different routable addresses, in no order; such a part of them of IPv6."""
    chance = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        if chance.random() < ipv6:
            text = str(IPv6Address((0x2A << 120) | chance.getrandbits(112)))
        else:
            text = str(IPv4Address(chance.getrandbits(32)))
        if read_address(text)[0] is AddressKind.GLOBAL:
            found[text] = None
    return list(found)


def places(count: int, seed: int = 3) -> Iterator[Geo]:
    """Say of ``count`` addresses where they are: some networks have thousands of them, most a handful."""
    chance = random.Random(seed)
    known = networks()
    weights = list(itertools.accumulate(1 / (rank + 10) for rank in range(len(known))))
    for _ in range(count):
        place = chance.choices(known, cum_weights=weights)[0]
        # Geo objects of their own, as reading them from a database makes them.
        yield UNKNOWN if chance.random() < _UNRESOLVED_SHARE else Geo(*place)


def geo_rows(ips: list[str], now: int, *, stale: int, seed: int = 4) -> Iterator[GeoRow]:
    """Make a row of each address: of a hundred so many are past the retention, here and there in the table."""
    chance = random.Random(seed)
    retention = RETENTION_DAYS * SECONDS_A_DAY
    for number, (ip, geo) in enumerate(zip(ips, places(len(ips)), strict=True)):
        age = chance.random() * (retention - 3600)
        if _is_one_of(stale, number):
            age = retention + 3600 + chance.random() * retention
        seen = now - age
        yield GeoRow(ip, *geo, cached_at=written(seen - 5_000, chance), last_seen=written(seen, chance))


def session_rows(count: int, now: int, *, expired: int, seed: int = 5) -> Iterator[tuple[str, str, str]]:
    """Make sessions, of a hundred so many expired: token, created_at, expires_at."""
    chance = random.Random(seed)
    for number in range(count):
        distance = 3600 + chance.random() * 30 * SECONDS_A_DAY
        expires = now + (-distance if _is_one_of(expired, number) else distance)
        yield f"{chance.getrandbits(256):064x}", written(expires - 86_400, chance), written(expires, chance)


def dirty_entries(known: list[str], fresh: list[str], now: int) -> list[DirtyEntry]:
    """Make entries to be written: of addresses that have rows, and of new ones, mixed."""
    ips = [*known, *fresh]
    random.Random(6).shuffle(ips)
    return [DirtyEntry(ip, geo, now, now) for ip, geo in zip(ips, places(len(ips), seed=7), strict=True)]


def written(epoch: float, chance: random.Random) -> str:
    """Write a time in one of the forms that web apps use: SQLite's, Python's, bangeod's."""
    form = chance.randrange(3)
    moment = datetime.fromtimestamp(epoch, UTC)
    if form == 0:
        return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"
    return moment.isoformat() if form == 1 else to_text(epoch)


def _is_one_of(percent: int, number: int) -> bool:
    """Choose exactly so many of a hundred numbers, not next to one another."""
    return number * 37 % 100 < percent
