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

_EARLIEST: Final = 1_704_067_200_000_000  # microseconds; 2024-01-01: no daemon was there before
_AS_NUMBER: Final = re.compile(r"AS[1-9][0-9]{0,9}")


class OddRow(NamedTuple):
    """A row that no daemon wrote, and why."""

    ip: str
    writer: str
    problem: str


def read(rows: Iterable[Sequence[Any]], wanted: Iterable[str]) -> tuple[dict[str, Geo], list[OddRow]]:
    """Return the places of the addresses that are ``wanted``, and the rows that were passed over.

    Rows are those of FIND_PLACES; the first good one of an address counts.
    """
    asked = frozenset(wanted)
    places: dict[str, Geo] = {}
    odd: list[OddRow] = []
    for key, writer, code, name, asn, org, origin, resolved, seen, is_of_future in rows:
        ip = key if key in asked else read_address(key)[1]
        if ip in places:
            continue
        said = _said(code, name, asn, org, origin)
        if isinstance(said, str):
            odd.append(OddRow(ip, writer, said))
        elif resolved is None or seen is None or min(resolved, seen) < _EARLIEST:
            odd.append(OddRow(ip, writer, "resolved_at or last_seen is a time at which no daemon was there"))
        elif is_of_future:
            odd.append(OddRow(ip, writer, "resolved_at or last_seen is in the future"))
        else:
            places[ip] = said
    return places, odd


@lru_cache(DISTINCT)
def _said(code: str | None, name: str | None, asn: str | None, org: str | None, origin: str | None) -> Geo | str:
    """Return the place that a row says, or what is odd about it."""
    problem = next(_problems(code, name, asn, org, origin), None)
    return Geo(code, name, asn, org) if problem is None else problem


def _problems(
    code: str | None, name: str | None, asn: str | None, org: str | None, origin: str | None
) -> Iterator[str]:
    if code is None or not code.isupper() or not countries.is_code(code):
        yield f"country_code is no code of a country in capitals: {_shown(code)}"
    if not _is_clean(name):
        yield f"country_name is no name: {_shown(name)}"
    if asn is not None and not _AS_NUMBER.fullmatch(asn):
        yield f"asn is no number such as AS64496: {_shown(asn)}"
    if not _is_clean(org):
        yield f"org is no name: {_shown(org)}"
    if origin not in EVIDENCE:
        yield f"origin is no source that counts for others: {_shown(origin)}"


def _is_clean(text: str | None) -> bool:
    """Say whether a text is one that a daemon writes: no longer than a name, without control characters; or NULL."""
    return text is None or (len(text) < LONGEST and fields.name(text) == text)


def _shown(value: object) -> str:
    return repr(value)[:60]
