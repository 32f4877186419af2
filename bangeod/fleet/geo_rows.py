"""Rows of ``bangeod.geo``: what a host wrote of an address, or that no daemon can have written it.

Other hosts are believed no further than this: a row is read as a daemon writes it, or it counts as odd.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from bangeod import countries, fields
from bangeod.addresses import read_address
from bangeod.model import Geo, Origin

# What counts for others: neither the embedded default, which is not very exact, nor what a host has from the fleet.
EVIDENCE: Final = frozenset({Origin.MMDB, Origin.IP_API})
LONGEST: Final = 201  # characters that are read of a text: one more than a daemon writes
DISTINCT: Final = 2_048  # places that are kept as they were read: some networks have most of the rows

_EARLIEST: Final = 1_704_067_200  # 2024-01-01: no daemon was there before, and no clock is right that says so
_MICROSECONDS: Final = 1_000_000
_AS_NUMBER: Final = re.compile(r"AS[1-9][0-9]{0,9}")


class OddRow(NamedTuple):
    """A row that no daemon wrote, and why."""

    ip: str
    writer: str
    problem: str


class WrittenRow(NamedTuple):
    """A row as FIND_PLACES has it: whatever its columns hold."""

    ip: str
    writer: str
    code: str | None
    name: str | None
    asn: str | None
    org: str | None
    origin: str | None
    resolved: int | None  # microseconds since the epoch; None for what is no time of a daemon's
    seen: int | None
    is_of_future: bool | None


def read(rows: Iterable[Sequence[Any]], wanted: Iterable[str]) -> tuple[dict[str, Geo], list[OddRow]]:
    """Return the places of the addresses that are ``wanted``, and the rows that were passed over.

    Rows are those of FIND_PLACES; the first good one of an address counts.
    """
    asked = frozenset(wanted)
    places: dict[str, Geo] = {}
    odd: list[OddRow] = []
    for row in map(WrittenRow._make, rows):
        ip = row.ip if row.ip in asked else read_address(row.ip)[1]
        if ip in places:
            continue
        problem = next(_problems(row), None)
        if problem is not None:
            odd.append(OddRow(ip, row.writer, problem))
        elif row.code is not None:
            places[ip] = _place(row.code, row.name, row.asn, row.org)
    return places, odd


def _problems(row: WrittenRow) -> Iterator[str]:
    """Yield what is odd about a row."""
    if row.code is None or not row.code.isupper() or not countries.is_code(row.code):
        yield f"country_code is no code of a country in capitals: {_shown(row.code)}"
    if not _is_clean(row.name):
        yield f"country_name is no name: {_shown(row.name)}"
    if row.asn is not None and not _AS_NUMBER.fullmatch(row.asn):
        yield f"asn is no number such as AS64496: {_shown(row.asn)}"
    if not _is_clean(row.org):
        yield f"org is no name: {_shown(row.org)}"
    if row.origin not in EVIDENCE:
        yield f"origin is no source that counts for others: {_shown(row.origin)}"
    for column, micros in (("resolved_at", row.resolved), ("last_seen", row.seen)):
        if micros is None or micros < _EARLIEST * _MICROSECONDS:
            yield f"{column} is a time at which no daemon was there"
    if row.is_of_future:
        yield "resolved_at or last_seen is in the future"


@lru_cache(DISTINCT)
def _place(code: str, name: str | None, asn: str | None, org: str | None) -> Geo:
    return Geo(code, name, asn, org)


@lru_cache(DISTINCT)
def _is_clean(text: str | None) -> bool:
    """Say whether a text is one that a daemon writes: no longer than a name, without control characters; or NULL."""
    return text is None or (len(text) < LONGEST and fields.name(text) == text)


def _shown(value: object) -> str:
    return repr(value)[:60]
