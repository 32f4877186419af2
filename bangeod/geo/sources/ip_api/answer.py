"""What ip-api.com's answer to a batch means: a pure function of status, headers and body.

The contract is https://ip-api.com/docs/api:batch. The answer comes from a third party over an unencrypted connection,
so any part of it may be anything.
"""

import json
from collections.abc import Mapping, Sequence
from enum import Enum
from http import HTTPStatus
from types import MappingProxyType
from typing import Final, NamedTuple

from bangeod import addresses, countries, fields
from bangeod.model import UNKNOWN, Geo

_MAX_SECONDS: Final = 86_400  # no header makes us wait longer than a day
_DIGITS: Final = 9  # longer numbers in a header are ignored


class Verdict(Enum):
    """The kinds of answer, as far as they matter for later requests."""

    ANSWERED = "answered"
    LIMITED = "limited"  # 429: over the rate limit; further requests would get our address banned
    REFUSED = "refused"  # 403: banned, or the key is not accepted
    TOO_LARGE = "too large"  # 422: more addresses than a batch may hold
    BROKEN = "broken"  # anything else that is no usable answer


class Quota(NamedTuple):
    """What the headers X-Rl and X-Ttl say; None where a header is missing or no number."""

    left: int | None = None  # requests left in this window
    seconds: int | None = None  # until the window begins anew


class Understood(NamedTuple):
    """What an answer says: its verdict, the quota it reports, the places it gives and any problem with it."""

    verdict: Verdict
    quota: Quota
    found: Mapping[str, Geo | None] = MappingProxyType({})  # by address as asked; None: not known there
    problem: str = ""


def interpret(status: int, headers: Mapping[str, str], body: bytes, asked: Sequence[str]) -> Understood:
    """Interpret the answer to a batch of canonical addresses. ``headers`` ignores case. Never raises."""
    quota = Quota(_number(headers.get("x-rl")), _number(headers.get("x-ttl")))
    if status == HTTPStatus.OK:
        return _read_body(quota, body, asked)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Understood(Verdict.LIMITED, quota, problem="its rate limit is used up (429)")
    if status == HTTPStatus.FORBIDDEN:
        problem = "it refuses this address or key (403): see the terms of ip-api.com, or the key in [geo.ip_api]"
        return Understood(Verdict.REFUSED, quota, problem=problem)
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        return Understood(Verdict.TOO_LARGE, quota, problem=f"a batch of {len(asked)} addresses was too large (422)")
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return Understood(
            Verdict.BROKEN, quota, problem=f"it redirects elsewhere ({status}): check the url in [geo.ip_api]"
        )
    return Understood(Verdict.BROKEN, quota, problem=f"it answered with status {status}")


def _number(text: str | None) -> int | None:
    if text is None or len(text) > _DIGITS or not (text.isascii() and text.isdecimal()):
        return None
    return min(int(text), _MAX_SECONDS)


def _read_body(quota: Quota, body: bytes, asked: Sequence[str]) -> Understood:
    try:
        items = json.loads(body)
    except (ValueError, RecursionError):
        return Understood(Verdict.BROKEN, quota, problem="its answer is not JSON")
    if not isinstance(items, list):
        return Understood(Verdict.BROKEN, quota, problem="its answer is not a JSON array")
    found = _match(items, frozenset(asked))
    if asked and not found:
        return Understood(Verdict.BROKEN, quota, problem="its answer is about none of the addresses asked")
    return Understood(Verdict.ANSWERED, quota, found)


def _match(items: Sequence[object], asked: frozenset[str]) -> Mapping[str, Geo | None]:
    """Match the elements of the answer to the addresses asked about; their order says nothing."""
    found: dict[str, Geo | None] = {}
    for item in items:
        if not isinstance(item, dict):
            continue
        _, ip = addresses.read_address(item.get("query"))
        if ip not in asked or ip in found:
            continue
        if item.get("status") == "success":
            found[ip] = _geo(item)
        elif item.get("status") == "fail":
            found[ip] = None
    return found


def _geo(item: Mapping[str, object]) -> Geo | None:
    code = fields.country_code(item.get("countryCode"))
    country_name = (fields.name(item.get("country")) or countries.name(code)) if code else None
    asn, as_name = fields.autonomous_system(item.get("as"))
    geo = Geo(code, country_name, asn, fields.name(item.get("org")) or as_name)
    return None if geo == UNKNOWN else geo
