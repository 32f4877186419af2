"""Which databases can be downloaded, and which URLs to try for one on a given day: pure policy."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

if TYPE_CHECKING:
    from bangeod.geo.sources.mmdb.probe import Findings


class Provider(NamedTuple):
    """A publisher of geo databases."""

    name: str
    base: str  # of the URLs to download from
    needs_account: bool
    attribution: str  # the text that its licence demands wherever the data is shown


class Packing(Enum):
    """How a database is packed."""

    GZIP = "gz"
    TAR = "tar.gz"


class Contents(NamedTuple):
    """What a database must hold."""

    name: str
    count: "Callable[[Findings], int]"  # how many the probe has found


COUNTRIES: Final = Contents("country", lambda findings: findings.countries)
SYSTEMS: Final = Contents("AS number", lambda findings: findings.systems)


class Database(NamedTuple):
    """One database, under the name that it has in the config."""

    name: str
    provider: Provider
    packing: Packing
    holds: Contents

    @property
    def file_name(self) -> str:
        return file_name(self.name)


class Candidate(NamedTuple):
    """One URL to try."""

    url: str
    release: str  # "2026-11"; "" for the latest


DBIP: Final = Provider(
    "DB-IP",
    "https://download.db-ip.com",
    needs_account=False,
    attribution="IP Geolocation by DB-IP (https://db-ip.com), licensed under CC BY 4.0",
)
MAXMIND: Final = Provider(
    "MaxMind",
    "https://download.maxmind.com",
    needs_account=True,
    attribution="GeoLite data created by MaxMind, available from https://www.maxmind.com",
)

# City files are left out: they are ten times as large, and hold no more fields that bangeod keeps.
SOURCES: Final = {
    source.name: source
    for source in (
        Database("dbip-country-lite", DBIP, Packing.GZIP, COUNTRIES),
        Database("dbip-asn-lite", DBIP, Packing.GZIP, SYSTEMS),
        Database("GeoLite2-Country", MAXMIND, Packing.TAR, COUNTRIES),
        Database("GeoLite2-ASN", MAXMIND, Packing.TAR, SYSTEMS),
    )
}


def file_name(source: str) -> str:
    """Return the name of the file that a source becomes in the state directory."""
    return f"{source}.mmdb"


def candidates(source: Database, today: date, *, base: str = "") -> Sequence[Candidate]:
    """Return the URLs to try, the newest first; ``base`` replaces the provider's own.

    DB-IP has a file for each month, published some days into it; MaxMind has one URL for the latest.
    """
    base = base or source.provider.base
    if source.provider is MAXMIND:
        return [Candidate(f"{base}/geoip/databases/{quote(source.name)}/download?suffix=tar.gz", "")]
    this_month = today.replace(day=1)
    months = (this_month, this_month - timedelta(days=1))
    return [Candidate(f"{base}/free/{source.name}-{month:%Y-%m}.mmdb.gz", f"{month:%Y-%m}") for month in months]
