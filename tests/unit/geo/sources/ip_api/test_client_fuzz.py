"""Whatever ip-api.com, or somebody in its place, answers: it is understood, or refused in our own words."""

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from bangeod import countries
from bangeod.errors import SourceError
from bangeod.geo.sources.ip_api.answer import Understood, Verdict, interpret
from bangeod.geo.sources.ip_api.client import IpApi
from bangeod.geo.sources.ip_api.limit import Limit
from bangeod.geo.sources.ip_api.transport import Transport
from bangeod.model import Geo
from tests.support.manual_clock import ManualClock
from tests.support.servers.ip_api import Pauses

LONGEST_WAIT = 86_400 + 1  # seconds; no answer pauses us for longer than a day, and X-Ttl is in whole seconds
LONGEST_TEXT = 200
ASKED = ("8.8.8.8", "1.1.1.1", "2a00:1450::1")
KEYS = ("status", "message", "country", "countryCode", "as", "org", "query")

STATUSES = st.sampled_from([200, 200, 200, 403, 422, 429]) | st.integers(100, 599) | st.integers(-1, 99_999)
ODD_NUMBERS = st.sampled_from(
    [
        "",
        " ",
        "0",
        "-0",
        "-1",
        "+5",
        "007",
        "1.5",
        "1e9",
        "0x10",
        "1_000",
        "NaN",
        "inf",
        "٣",
        "²",
        "Ⅷ",
        "\uff11\uff15",
        "1, 2",
    ]
)
NUMBERS = ODD_NUMBERS | st.integers().map(str) | st.integers(0, 100).map(str) | st.floats().map(str) | st.text()
NAMES = st.sampled_from(["X-Rl", "x-rl", "X-Ttl", "X-TTL", "Retry-After", "Content-Length"])
LISTS_OF_HEADERS = st.lists(st.tuples(NAMES, NUMBERS), max_size=6)

QUERIES = st.sampled_from([*ASKED, "::ffff:8.8.8.8", "2A00:1450::0001", "9.9.9.9", "10.0.0.1", " 8.8.8.8", "8.8.8.8\n"])
WORDS = st.sampled_from(
    ["success", "fail", "US", "us", "ZZ", "EU", "ß", "\u0131t", "U\u017f", "DE\x00", "AS15169 Google", "AS0"]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | WORDS | QUERIES
JSON: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(), below, max_size=7),
    max_leaves=30,
)
ELEMENTS = st.fixed_dictionaries(
    {"query": QUERIES | JSON, "status": st.sampled_from(["success", "success", "fail"]) | JSON},
    optional={key: WORDS | st.text() | JSON for key in KEYS[1:-1]},
)
DEEP = st.builds(
    lambda depth, end: b"[" * depth + b"1" + end * depth,
    st.sampled_from([3, 200, 20_000]),
    st.sampled_from([b"]", b""]),
)
BODIES = (
    st.binary()
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.lists(ELEMENTS | JSON, max_size=8).map(lambda items: json.dumps(items).encode())
    | st.lists(ELEMENTS, min_size=1, max_size=8).map(
        lambda items: json.dumps(items, ensure_ascii=False).encode("utf-16", "surrogatepass")
    )
    | st.lists(ELEMENTS, min_size=1, max_size=3).map(lambda items: json.dumps(items).encode()[:-3])
    | DEEP
)


def check_geo(geo: Geo) -> None:
    assert geo != Geo()
    assert geo.country_code is None or (len(geo.country_code) == 2 and countries.is_code(geo.country_code))
    assert (geo.country_code is None) == (geo.country_name is None)
    assert geo.asn is None or 0 < int(geo.asn.removeprefix("AS")) < 2**32
    for text in filter(None, geo):
        assert text.isprintable()
        assert 0 < len(text) <= LONGEST_TEXT
        text.encode()  # no lone surrogates, which no database takes


def check_found(found: Mapping[str, Geo | None]) -> None:
    assert set(found) <= set(ASKED)
    for geo in filter(None, found.values()):
        check_geo(geo)


def check_outcome(outcome: Understood) -> None:
    check_found(outcome.found)
    assert (outcome.verdict is Verdict.ANSWERED) == bool(outcome.found)
    assert bool(outcome.problem) == (outcome.verdict is not Verdict.ANSWERED)
    assert outcome.problem.isprintable()
    assert len(outcome.problem) <= LONGEST_TEXT
    for number in outcome.quota:
        assert number is None or 0 <= number <= 86_400


@given(STATUSES, LISTS_OF_HEADERS, BODIES)
def test_any_answer_is_understood_or_refused(status: int, headers: list[tuple[str, str]], body: bytes) -> None:
    mapping = {name.lower(): value for name, value in headers}
    check_outcome(interpret(status, mapping, body, ASKED))


@given(st.lists(ELEMENTS, min_size=1, max_size=8))
def test_elements_of_any_content_are_about_what_was_asked(items: Sequence[Mapping[str, Any]]) -> None:
    outcome = interpret(200, {}, json.dumps(items).encode(), ASKED)
    check_outcome(outcome)
    if any(item["query"] in ASKED and item["status"] == "success" for item in items):
        assert outcome.verdict is Verdict.ANSWERED


@given(st.lists(st.tuples(STATUSES, LISTS_OF_HEADERS, BODIES, st.floats(0, 10**6)), min_size=1, max_size=20))
def test_no_answers_make_us_wait_without_end(answers: list[tuple[int, list[tuple[str, str]], bytes, float]]) -> None:
    limit = Limit()
    now = 1000.0
    for status, headers, body, passed in answers:
        outcome = interpret(status, {name.lower(): value for name, value in headers}, body, ASKED)
        limit.sent(now)
        limit.answered(now, outcome.verdict, outcome.quota)
        wait = limit.wait(now)
        assert math.isfinite(wait)
        assert 0 <= wait <= LONGEST_WAIT
        assert limit.wait(now + wait) < 1e-6
        if outcome.verdict in (Verdict.LIMITED, Verdict.REFUSED, Verdict.BROKEN, Verdict.TOO_LARGE):
            assert wait > 0
        if outcome.quota.left == 0:
            assert wait > 0
        now += max(wait, passed)


# --- the client as a whole: httpx reads the headers, and whatever it makes of them ---

HEADER_OCTETS = st.lists(
    st.tuples(
        NAMES.map(str.encode) | st.sampled_from([b"Location", b"Content-Type", b"Set-Cookie", b"Content-Encoding"]),
        st.binary(max_size=30) | NUMBERS.map(lambda text: text.encode("utf-8", "replace")) | st.just(b"gzip"),
    ),
    max_size=6,
)


class Answering(httpx.AsyncBaseTransport):
    """Answers every request with the same."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self._answer = status, headers, body

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        status, headers, body = self._answer

        async def stream() -> Any:
            yield body

        return httpx.Response(status, headers=headers, content=stream(), request=request)


@given(st.integers(100, 599) | STATUSES.filter(lambda status: status >= 100), HEADER_OCTETS, BODIES)
def test_the_client_gives_an_answer_or_an_error_of_its_own(
    status: int, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    clock = ManualClock()

    async def ask() -> None:
        told = ""
        client = IpApi(url="http://127.0.0.1:1/batch", key="S3cret", timeout=10, clock=clock, pause_store=Pauses())
        client._transport = Transport(httpx.AsyncClient(transport=Answering(status, headers, body)))
        try:
            check_found(await client.resolve(ASKED))
        except SourceError as error:
            told = str(error)
        assert "S3cret" not in told
        assert 0 <= client.wait() <= LONGEST_WAIT
        await client.close()

    with capture_logs():
        asyncio.run(ask())
