"""The data of a lookup: what a source knows of an address, the answer, and a row of the table."""

from enum import StrEnum
from typing import NamedTuple

import msgspec


class Geo(NamedTuple):
    """What a source knows of an address; None is unknown. ``asn`` is like ``AS15169``, ``org`` its name."""

    country_code: str | None = None  # ISO 3166-1 alpha-2, upper case
    country_name: str | None = None
    asn: str | None = None
    org: str | None = None


UNKNOWN = Geo()


def merge(known: Geo, more: Geo) -> Geo:
    """Fill the gaps of ``known`` from ``more``.

    Code and name of a country come together, and so do number and name of an AS.
    """
    if known.country_code is None:
        known = known._replace(country_code=more.country_code, country_name=more.country_name)
    if known.asn is None:
        known = known._replace(asn=more.asn)
    if known.org is None and more.asn in (None, known.asn):
        known = known._replace(org=more.org)
    return known


class Status(StrEnum):
    """What became of a lookup."""

    RESOLVED = "resolved"
    UNRESOLVED = "unresolved"  # routable, and no source knows a country
    PRIVATE = "private"  # not globally routable: never asked about, no row is made for it
    INVALID = "invalid"  # no address at all


class Origin(StrEnum):
    """Where an answer came from."""

    MEMORY = "memory"
    DATABASE = "database"
    MMDB = "mmdb"
    FLEET = "fleet"
    EMBEDDED = "embedded"
    IP_API = "ip-api"


class Answer(msgspec.Struct, frozen=True, gc=False):
    """The answer to one lookup, with the text that was asked about."""

    ip: str
    status: Status
    geo: Geo = UNKNOWN
    origin: Origin | None = None  # None where the answer needs no source, or none knows


class DirtyEntry(msgspec.Struct, frozen=True, gc=False):
    """An entry waiting to be written to the table.

    It replaces a row whose place is ``replaces``. None (the usual) fills only a row without a country, so that what the
    web app resolved meanwhile stays. An entry without a country never replaces one with a country.
    """

    ip: str  # canonical
    geo: Geo
    last_seen: int  # seconds since the epoch
    resolved_at: int  # seconds since the epoch
    replaces: Geo | None = None


class Row(msgspec.Struct, frozen=True, gc=False):
    """A row of the table geo_cache, as it is stored."""

    key: str  # as the web app wrote it, canonical or not
    geo: Geo
    last_seen: int | None  # seconds since the epoch; None where it can't be read
