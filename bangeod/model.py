"""What is known of an address, and what a lookup answers."""

from enum import StrEnum
from typing import NamedTuple

import msgspec


class Geo(NamedTuple):
    """What a source says of an address; None is unknown. ``asn`` is ``AS15169``, ``org`` the name."""

    country_code: str | None = None  # ISO 3166-1 alpha-2, upper case
    country_name: str | None = None
    asn: str | None = None
    org: str | None = None


UNKNOWN = Geo()


def merge(known: Geo, more: Geo) -> Geo:
    """Fill in what is not known yet. Code and name of a country come together, and so does what names one AS."""
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
    EMBEDDED = "embedded"
    IP_API = "ip-api"


class Answer(msgspec.Struct, frozen=True, gc=False):
    """The answer to one lookup, under the text that was asked."""

    ip: str
    status: Status
    geo: Geo = UNKNOWN
    origin: Origin | None = None  # None where the answer needs no source, or none knows


class DirtyEntry(msgspec.Struct, frozen=True, gc=False):
    """An entry on its way to the table.

    ``replaces`` is what the row may hold for this one to take its place: None (the usual) fills only
    a row that has no country, so that what the web app resolved meanwhile stays. No country never takes the place of
    one.
    """

    ip: str  # canonical
    geo: Geo
    last_seen: int  # seconds since the epoch
    resolved_at: int  # seconds since the epoch
    replaces: Geo | None = None


class Row(msgspec.Struct, frozen=True, gc=False):
    """A row of the table as it stands there."""

    key: str  # the text that the web app gave it, canonical or not
    geo: Geo
    last_seen: int | None  # seconds since the epoch; None where it can't be read
