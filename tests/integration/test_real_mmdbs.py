"""What real country MMDBs say of addresses that are easily got wrong: Cloudflare's, and IPv4 in IPv6 clothes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bangeod.addresses import AddressKind, read_address
from bangeod.geo.sources.mmdb.merged import MmdbFiles
from bangeod.model import Geo
from tests.support.mmdb import published

GOOGLE = "8.8.8.8"
DRESSED = ["::ffff:8.8.8.8", "::FFFF:808:808", "64:ff9b::808:808", "2002:808:808::1", "2001:0:4136:e378::f7f7:f7f7"]


async def real(fetch: Callable[[Path], Path]) -> MmdbFiles:
    try:
        path = fetch(published.default_cache())
    except published.NotToBeHadError as error:
        pytest.skip(str(error))
    files = MmdbFiles([path])
    await files.refresh()
    return files


def find(files: MmdbFiles, text: str) -> Geo | None:
    kind, ip = read_address(text)
    assert kind is AddressKind.GLOBAL
    return files.find(ip)


async def test_geolite2() -> None:
    files = await real(published.fetch_geolite2)
    assert str(files.coverage) == "countries of IPv4 and IPv6"
    google = find(files, GOOGLE)
    assert google is not None
    assert google.country_code == "US"
    for text in DRESSED:
        assert find(files, text) is google
    # Known by the country in which they are registered alone, and so is 104.16.0.0/12.
    assert find(files, "1.1.1.1") == Geo("AU", "Australia")
    for ip in ("104.16.0.1", "104.20.5.5", "104.31.255.254", "2606:4700::1111"):
        known = find(files, ip)
        assert known is not None
        assert known.country_code == "US"
    files.close()


async def test_a_file_without_aliases_of_ipv4() -> None:
    """Nor has it Cloudflare, as it leaves out what is known by its registration alone."""
    files = await real(published.fetch)
    assert str(files.coverage) == "countries of IPv4 and IPv6"
    google = find(files, GOOGLE)
    assert google is not None
    assert google.country_code == "US"
    for text in DRESSED:
        assert find(files, text) is google
    assert find(files, "1.1.1.1") is None
    files.close()
