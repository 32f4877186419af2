"""MMDBs for tests: whole ones made with mmdb-writer, and small ones whose data section is laid by hand."""

from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from random import Random
from typing import Any, Literal

from mmdb_writer import METADATA_MAGIC, Encoder, MMDBWriter
from netaddr import IPSet  # type: ignore[import-untyped] # ships no types

GERMANY = {"geoname_id": 2921044, "iso_code": "DE", "names": {"de": "Deutschland", "en": "Germany"}}
FRANCE = {"geoname_id": 3017382, "iso_code": "FR", "names": {"en": "France"}}
GOOGLE = {"autonomous_system_number": 15169, "autonomous_system_organization": "Google LLC"}

# As the first record, it kills maxminddb's C reader (SIGSEGV in 3.2.0): a map whose key is a pointer to another map.
FATAL_RECORD = b"\xe1\x20\x06\x42US\xe1\x41a\x41b"


def nested(*iso_codes: str) -> dict[str, Any]:
    """Return a record of MaxMind's layout: the country first, the registered one second."""
    keys = ("country", "registered_country")
    return {
        key: {"iso_code": code, "names": {"en": f"Land {code}"}} for key, code in zip(keys, iso_codes, strict=False)
    }


def write_mmdb(
    path: Path,
    networks: Mapping[str, Mapping[str, Any]],
    *,
    ip_version: Literal[4, 6] = 6,
    database_type: str = "Test-Country",
    build_epoch: int | None = None,
) -> Path:
    """Write an MMDB that says this of these networks, in one step as an updater would (write, rename)."""
    writer = MMDBWriter(
        ip_version=ip_version,
        ipv4_compatible=ip_version == 6,
        database_type=database_type,
        languages=["en"],
        description={"en": "made for a test"},
    )
    for network, record in networks.items():
        writer.insert_network(IPSet([network]), dict(record))
    unfinished = path.with_suffix(".part")
    writer.to_db_file(str(unfinished))
    if build_epoch is not None:  # in place of the writer's own: four octets after the key and the type
        before, key, after = unfinished.read_bytes().rpartition(b"build_epoch")
        unfinished.write_bytes(before + key + after[:2] + build_epoch.to_bytes(4, "big") + after[6:])
    unfinished.rename(path)
    return path


def write_large_mmdb(path: Path, country: str) -> Path:
    """Write an MMDB of 2 MiB, nearly all of it chance, that knows 20.0.0.0/12 as sixteen networks of this country.

    So few records take the probe no time, and whoever keeps the file, in whatever form, needs the memory for it.
    """
    chance = Random(country)
    return write_mmdb(
        path,
        {f"20.{number}.0.0/16": {"country_code": country, "filler": chance.randbytes(1 << 17)} for number in range(16)},
    )


def by_hand(low: bytes, high: bytes, **metadata: object) -> bytes:
    """Return an IPv4 MMDB of one node: the record of 0.0.0.0/1 and that of 128.0.0.0/1, as encoded by the caller."""
    node_count = 1
    values = (node_count + 16, node_count + 16 + len(low))
    tree = b"".join(value.to_bytes(3, "big") for value in values)
    return tree + bytes(16) + low + high + METADATA_MAGIC + encoded(_metadata() | metadata)


def encoded(value: dict[str, Any]) -> bytes:
    """Return a map as the MaxMind DB file format encodes it."""
    return Encoder(cache=False).encode_meta(value)


def _metadata() -> dict[str, Any]:
    return {
        "node_count": 1,
        "record_size": 24,
        "ip_version": 4,
        "database_type": "By-Hand",
        "languages": ["en"],
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        "build_epoch": 1_700_000_000,
        "description": {"en": "made for a test"},
    }


def put(path: Path, content: bytes) -> Path:
    """Write a file whole and rename it into place."""
    unfinished = path.with_suffix(".part")
    unfinished.write_bytes(content)
    unfinished.replace(path)
    return path


def remove(path: Path) -> None:
    """Unlink a file."""
    path.unlink()


US = encoded({"country_code": "US"})  # a record to be laid by hand


def write_realistic_mmdb(path: Path, networks: int, *, seed: int = 1) -> Path:
    """Write an MMDB like those that are sold: networks of all sizes, a third IPv6, and 500 distinct records."""
    chance = Random(seed)
    codes = ("US", "CN", "DE", "NL", "RU", "IN", "BR", "VN", "FR", "GB", "SG", "KR", "HK", "ID", "TW", "JP", "UA")
    places = [
        nested(*chance.choices(codes, k=2))
        | {"autonomous_system_number": 1 + number, "autonomous_system_organization": f"Network {number}"}
        for number in range(500)
    ]
    contents = {}
    four, six = 1 << 24, 0x2A << 120
    for number in range(networks):
        is_six = number % 3 == 0
        length = chance.randrange(29, 49) if is_six else chance.randrange(13, 25)
        size = 1 << ((128 if is_six else 32) - length)
        start = -(-(six if is_six else four) // size) * size
        contents[str(ip_network((start, length)))] = chance.choice(places)
        if is_six:
            six = start + size
        else:
            four = start + size
    return write_mmdb(path, contents, database_type="Test-City")
