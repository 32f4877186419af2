"""What ip-api.com's answer to a batch means: a pure function of status, headers and body.

The contract is that of https://ip-api.com/docs/api:batch. The answer comes over an unencrypted line from a third
party, so every part of it may be anything.
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
_DIGITS: Final = 9  # longer numbers in a header are none


class Verdict(Enum):
    """What an answer means for the requests to come."""

    ANSWERED = "answered"
    LIMITED = "limited"  # 429: over the rate limit; to go on would get the address banned
    REFUSED = "refused"  # 403: banned, or the key is not accepted
    TOO_LARGE = "too large"  # 422: more addresses than a batch may hold
    BROKEN = "broken"  # anything else that is no answer


class Quota(NamedTuple):
    """What the headers X-Rl and X-Ttl say; None where one is missing or no number."""

    left: int | None = None  # requests left in this window
    seconds: int | None = None  # until the window begins anew


class Understood(NamedTuple):
    """An answer, understood."""

    verdict: Verdict
    quota: Quota
    found: Mapping[str, Geo | None] = MappingProxyType({})  # by address as asked; None: not known there
    problem: str = ""


def interpret(status: int, headers: Mapping[str, str], body: bytes, asked: Sequence[str]) -> Understood:
    """Understand the answer to a batch of canonical addresses. ``headers`` ignores case. Never raises."""
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
    """Find out which element is about which address; the order of the elements says nothing."""
    found: dict[str, Geo | None] = {}
    for item in items:
        if not isinstance(item, dict):
            continue
        _, ip = addresses.read(item.get("query"))
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
