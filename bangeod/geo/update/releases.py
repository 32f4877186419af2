"""What can be fetched, and which addresses to try for it on a given day: pure policy."""

from collections.abc import Sequence
from datetime import date, timedelta
from enum import Enum
from typing import Final, NamedTuple
from urllib.parse import quote


class Provider(NamedTuple):
    """One who makes geo databases."""

    name: str
    base: str  # of the addresses to download from
    needs_account: bool
    attribution: str  # what its licence asks everybody to say who shows the data


class Packing(Enum):
    """How a database is packed."""

    GZIP = "gz"
    TAR = "tar.gz"


class Database(NamedTuple):
    """One database, under the name that the config has for it."""

    name: str
    provider: Provider
    packing: Packing
    holds: str  # the figure of the probe's findings that must not be 0

    @property
    def file_name(self) -> str:
        """Return the name of the file that it becomes in the state directory."""
        return file_name(self.name)


class Candidate(NamedTuple):
    """One address to try."""

    url: str
    release: str  # "2026-11"; "" for whatever is the latest


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

# City files are left out: they are ten times as large, and hold nothing more that bangeod keeps.
SOURCES: Final = {
    source.name: source
    for source in (
        Database("dbip-country-lite", DBIP, Packing.GZIP, "countries"),
        Database("dbip-asn-lite", DBIP, Packing.GZIP, "networks"),
        Database("GeoLite2-Country", MAXMIND, Packing.TAR, "countries"),
        Database("GeoLite2-ASN", MAXMIND, Packing.TAR, "networks"),
    )
}


def file_name(source: str) -> str:
    """Return the name of the file that a source becomes in the state directory."""
    return f"{source}.mmdb"


def candidates(source: Database, today: date, *, base: str = "") -> Sequence[Candidate]:
    """Return the addresses to try, the newest first; ``base`` stands for the provider's own.

    DB-IP has a file a month, which comes out some days into it; MaxMind has one address for the latest.
    """
    base = base or source.provider.base
    if source.provider is MAXMIND:
        return [Candidate(f"{base}/geoip/databases/{quote(source.name)}/download?suffix=tar.gz", "")]
    this_month = today.replace(day=1)
    months = (this_month, this_month - timedelta(days=1))
    return [Candidate(f"{base}/free/{source.name}-{month:%Y-%m}.mmdb.gz", f"{month:%Y-%m}") for month in months]
