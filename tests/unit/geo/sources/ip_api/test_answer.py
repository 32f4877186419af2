"""What an answer of ip-api.com means, whatever is in it."""

import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod.geo.sources.ip_api.answer import Quota, Understood, Verdict, interpret
from bangeod.model import Geo

GOOGLE = {
    "status": "success",
    "country": "United States",
    "countryCode": "US",
    "as": "AS15169 Google LLC",
    "org": "Google Public DNS",
    "query": "8.8.8.8",
}
NOT_JSON = "its answer is not JSON"
NO_ARRAY = "its answer is not a JSON array"
ABOUT_NONE = "its answer is about none of the addresses asked"


def answer(*items: object, asked: tuple[str, ...] = ("8.8.8.8",)) -> Understood:
    return interpret(200, {}, json.dumps(items).encode(), asked)


def test_a_success_has_country_and_as() -> None:
    outcome = answer(GOOGLE)
    assert outcome.verdict is Verdict.ANSWERED
    assert outcome.found == {"8.8.8.8": Geo("US", "United States", "AS15169", "Google Public DNS")}


@pytest.mark.parametrize(
    ("change", "geo"),
    [
        ({"org": ""}, Geo("US", "United States", "AS15169", "Google LLC")),
        ({"org": None, "as": "AS15169"}, Geo("US", "United States", "AS15169")),
        ({"as": ""}, Geo("US", "United States", None, "Google Public DNS")),
        ({"as": 15169}, Geo("US", "United States", "AS15169", "Google Public DNS")),
        ({"as": "Google"}, Geo("US", "United States", None, "Google Public DNS")),
        ({"country": None}, Geo("US", "United States", "AS15169", "Google Public DNS")),
        ({"country": ["x"]}, Geo("US", "United States", "AS15169", "Google Public DNS")),
        ({"countryCode": "us"}, Geo("US", "United States", "AS15169", "Google Public DNS")),
        ({"countryCode": "ZZ"}, Geo(None, None, "AS15169", "Google Public DNS")),
        ({"countryCode": 7}, Geo(None, None, "AS15169", "Google Public DNS")),
        ({"countryCode": "", "as": "", "org": ""}, None),
        ({"status": "fail", "message": "reserved range"}, None),
        ({"status": "fail"}, None),
        ({"org": "\ud800 A\nB"}, Geo("US", "United States", "AS15169", "A B")),
    ],
)
def test_a_field_of_a_wrong_type_or_empty_is_not_there(change: dict[str, Any], geo: Geo | None) -> None:
    assert answer(GOOGLE | change).found == {"8.8.8.8": geo}


def test_elements_are_matched_by_query_not_by_order() -> None:
    other = GOOGLE | {"query": "1.1.1.1", "countryCode": "AU", "country": "Australia"}
    found = answer(other, GOOGLE, asked=("8.8.8.8", "1.1.1.1")).found
    assert {ip: geo and geo.country_code for ip, geo in found.items()} == {"8.8.8.8": "US", "1.1.1.1": "AU"}


@pytest.mark.parametrize("query", ["2A00:0:0:0:0:0:0:1", "2a00::0001"])
def test_a_query_is_matched_in_any_spelling(query: str) -> None:
    assert list(answer(GOOGLE | {"query": query}, asked=("2a00::1",)).found) == ["2a00::1"]


def test_what_was_left_out_is_not_in_the_mapping() -> None:
    assert list(answer(GOOGLE, asked=("8.8.8.8", "1.1.1.1")).found) == ["8.8.8.8"]


def test_what_was_not_asked_is_ignored_and_the_first_of_two_counts() -> None:
    stranger = GOOGLE | {"query": "9.9.9.9"}
    again = GOOGLE | {"countryCode": "FR", "country": "France"}
    found = answer(stranger, None, 7, "8.8.8.8", {}, {"query": "8.8.8.8"}, GOOGLE, again).found
    assert {ip: geo and geo.country_code for ip, geo in found.items()} == {"8.8.8.8": "US"}


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        pytest.param(b"", NOT_JSON, id="empty"),
        pytest.param(b"<html>", NOT_JSON, id="html"),
        pytest.param(b"\xff\xfe", NOT_JSON, id="octets"),
        pytest.param(b"[" * 1_000_000, NOT_JSON, id="deep"),
        pytest.param(b"[" + b"9" * 10_000 + b"]", NOT_JSON, id="huge number"),
        pytest.param(b"{}", NO_ARRAY, id="object"),
        pytest.param(b"null", NO_ARRAY, id="null"),
        pytest.param(b'"8.8.8.8"', NO_ARRAY, id="string"),
        pytest.param(b"[]", ABOUT_NONE, id="empty array"),
        pytest.param(b"[null]", ABOUT_NONE, id="nulls"),
        pytest.param(b'[{"status":"success","query":"9.9.9.9"}]', ABOUT_NONE, id="another address"),
    ],
)
def test_a_body_that_is_no_answer(body: bytes, problem: str) -> None:
    outcome = interpret(200, {"X-Rl": "3"}, body, ["8.8.8.8"])
    assert (outcome.verdict, outcome.problem, outcome.found) == (Verdict.BROKEN, problem, {})


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (429, Verdict.LIMITED),
        (403, Verdict.REFUSED),
        (422, Verdict.TOO_LARGE),
        (204, Verdict.BROKEN),
        (301, Verdict.BROKEN),
        (401, Verdict.BROKEN),
        (404, Verdict.BROKEN),
        (500, Verdict.BROKEN),
        (503, Verdict.BROKEN),
    ],
)
def test_the_status_decides_before_the_body(status: int, verdict: Verdict) -> None:
    outcome = interpret(status, {}, json.dumps([GOOGLE]).encode(), ["8.8.8.8"])
    assert (outcome.verdict, outcome.found) == (verdict, {})
    assert str(status) in outcome.problem


@pytest.mark.parametrize(
    ("headers", "quota"),
    [
        ({"X-Rl": "14", "X-Ttl": "60"}, Quota(14, 60)),
        ({"x-rl": "0", "x-ttl": "0"}, Quota(0, 0)),
        ({}, Quota(None, None)),
        ({"X-Rl": "", "X-Ttl": "soon"}, Quota(None, None)),
        ({"X-Rl": "-1", "X-Ttl": "1.5"}, Quota(None, None)),
        ({"X-Rl": "1, 2", "X-Ttl": " "}, Quota(None, None)),
        ({"X-Rl": "9" * 5000, "X-Ttl": "999999999"}, Quota(None, 86_400)),
    ],
)
@pytest.mark.parametrize("status", [200, 429, 500])
def test_the_quota_is_read_from_every_answer(status: int, headers: Mapping[str, str], quota: Quota) -> None:
    assert interpret(status, httpx.Headers(headers), b"", ["8.8.8.8"]).quota == quota


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["success", "8.8.8.8", "US"]),
    lambda below: (
        st.lists(below, max_size=4) | st.dictionaries(st.sampled_from([*GOOGLE, "message"]), below, max_size=7)
    ),
    max_leaves=40,
)


@given(
    st.sampled_from([200, 200, 200, 403, 422, 429, 500]) | st.integers(100, 999),
    st.dictionaries(st.sampled_from(["x-rl", "x-ttl"]), st.text()),
    st.binary() | JSON.map(lambda value: json.dumps(value).encode()),
    st.lists(st.ip_addresses(v=4).map(str), max_size=3).map(lambda ips: [*ips, "8.8.8.8"]),
)
def test_any_answer_is_understood_and_only_as_what_was_asked(
    status: int, headers: dict[str, str], body: bytes, asked: list[str]
) -> None:
    outcome = interpret(status, headers, body, asked)
    assert set(outcome.found) <= set(asked)
    assert (outcome.verdict is Verdict.ANSWERED) == bool(outcome.found)
    assert bool(outcome.problem) == (outcome.verdict is not Verdict.ANSWERED)
    for geo in filter(None, outcome.found.values()):
        assert all(text is None or text.isprintable() for text in geo)
