"""What each source says of an address, as it goes over the socket. Times are text as the database has them."""

from typing import Annotated, Any, Final

import msgspec

from bangeod.geo.model import Geo, Origin, Status

MOST_EXPLAINED: Final = 100  # addresses of one request; each may bring whole records of several files


class ExplainRequest(msgspec.Struct):
    """The addresses that are to be explained."""

    ips: Annotated[list[str], msgspec.Meta(max_length=MOST_EXPLAINED)]


class Place(msgspec.Struct):
    """Where an address is; null is not known."""

    country_code: str | None = None
    country_name: str | None = None
    asn: str | None = None
    org: str | None = None


class MmdbRecord(msgspec.Struct, kw_only=True):
    """An MMDB, and the record that it has for an address."""

    path: str
    status: str  # loaded, kept, missing, refused, pending
    database_type: str | None = None
    build_time: str | None = None
    network: str | None = None  # which the record is for; also where there is no record for it
    asked: str | None = None  # the address that was looked up: the IPv4 address that another carries
    record: Any = None  # octets in hexadecimal, large numbers as text


class Said(msgspec.Struct, kw_only=True):
    """What one source says. ``says`` is what bangeod takes from it, ``note`` why that is nothing, or how it stands."""

    source: Origin
    says: Place | None = None
    note: str | None = None
    file: MmdbRecord | None = None


class Explanation(msgspec.Struct, kw_only=True):
    """An address: what each source says of it, in the order in which they are asked, and what the answer is."""

    ip: str
    status: Status
    address: str | None = None  # in its canonical form; null where it is none
    sources: list[Said] = []
    answer: Place
    origin: Origin | None = None
    decided_by: dict[str, str] = {}  # by field of the answer: a source, the path of an MMDB, or "country_names"


class ExplainAnswer(msgspec.Struct):
    """The explanations, in the order asked."""

    explanations: list[Explanation]


def place_of(geo: Geo | None) -> Place | None:
    """Return a place as it goes over the socket: None where nothing is known."""
    return None if geo is None or geo == Geo() else Place(*(_text(value) for value in geo))


def _text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)
