"""A country MMDB as large and as cut up as a real one: made up, and the same in every run."""

import random
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet  # type: ignore[import-untyped] # ships no types

from bangeod.model import Geo
from tests.benchmarks import samples

NETWORKS = 60_000
_LANGUAGES = ("de", "en", "es", "fr", "ja", "pt-BR", "ru", "zh-CN")  # as in MaxMind's country files
_IPV4 = [ip_network(f"{octet}.0.0.0/8") for octet in range(1, 224)]
_IPV6 = [ip_network("2a00::/8")]  # where samples.addresses puts them


def write_country_file(path: Path, *, nested: bool, count: int = NETWORKS, moved: int = 0, seed: int = 8) -> Path:
    """Write a file that knows a country of nearly every address; with MaxMind's ``nested`` records, or flat ones.

    Of a hundred networks ``moved`` are in another country than in a file where none is.
    """
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="Made-Up-Country", languages=["en"])
    chance = random.Random(seed)
    places = samples.places(count, seed=seed)
    make = _nested if nested else _flat
    for number, (network, place) in enumerate(zip(networks(count, chance), places, strict=False)):
        moves = number * 37 % 100 < moved
        writer.insert_network(IPSet([str(network)]), make(Geo("IS", "Iceland") if moves else place))
    writer.to_db_file(str(path))
    return path


def networks(count: int, chance: random.Random) -> Iterator[IPv4Network | IPv6Network]:
    """Cut the address space into so many networks, one in ten of IPv6, of all sizes."""
    for space, share in ((_IPV6, count // 10), (_IPV4, count - count // 10)):
        cut: list[Any] = list(space)
        while len(cut) < share:
            chosen = chance.randrange(len(cut))
            if cut[chosen].prefixlen < cut[chosen].max_prefixlen - 8:
                cut[chosen], other = cut[chosen].subnets()
                cut.append(other)
        yield from cut


def _flat(geo: Geo) -> dict[str, Any]:
    return {"country_code": geo.country_code or "ZZ"}


def _nested(geo: Geo) -> dict[str, Any]:
    names = {language: f"{geo.country_name} ({language})" for language in _LANGUAGES} | {"en": geo.country_name or ""}
    country = {"geoname_id": 2_921_044, "iso_code": geo.country_code or "ZZ", "names": names}
    continent = {"code": "EU", "geoname_id": 6_255_148, "names": dict.fromkeys(_LANGUAGES, "Europe")}
    return {"continent": continent, "country": country, "registered_country": country}
