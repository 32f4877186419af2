"""Rows of other hosts: taken as a daemon writes them, or passed over."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod import countries
from bangeod.fleet import geo_rows
from bangeod.model import Geo

IP, OTHER = "8.8.8.8", "2a00::1"
AT = 1_800_000_000_000_000  # microseconds
GOOD = (IP, "web1", "DE", "Germany", "AS64500", "Example", "mmdb", AT, AT, False)
COLUMNS = ("ip", "writer", "code", "name", "asn", "org", "origin", "resolved", "seen", "is_of_future")


def row(**changes: object) -> tuple[Any, ...]:
    return tuple({**dict(zip(COLUMNS, GOOD, strict=True)), **changes}.values())


def places(*rows: tuple[Any, ...]) -> dict[str, Geo]:
    return geo_rows.read(rows, [IP, OTHER])[0]


def test_a_row_as_a_daemon_writes_it_is_a_place() -> None:
    assert geo_rows.read([GOOD], [IP]) == ({IP: Geo("DE", "Germany", "AS64500", "Example")}, [])
    assert places(row(name=None, asn=None, org=None, origin="ip-api")) == {IP: Geo("DE")}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"code": "de"}, "country_code"),
        ({"code": "ZZ"}, "country_code"),
        ({"code": "DEU"}, "country_code"),
        ({"code": ""}, "country_code"),
        ({"code": None}, "country_code"),
        ({"name": "Ger\nmany"}, "country_name"),
        ({"name": "x" * 201}, "country_name"),
        ({"name": ""}, "country_name"),
        ({"name": " Germany"}, "country_name"),
        ({"asn": "64500"}, "asn"),
        ({"asn": "AS0"}, "asn"),
        ({"org": "\x1b[2J"}, "org"),
        ({"origin": "embedded"}, "origin"),
        ({"origin": "fleet"}, "origin"),
        ({"origin": ""}, "origin"),
        ({"resolved": None}, "resolved_at"),
        ({"seen": None}, "last_seen"),
        ({"resolved": -62_135_596_800_000_000}, "resolved_at"),
        ({"is_of_future": True}, "in the future"),
        ({"is_of_future": None, "resolved": None}, "resolved_at"),
    ],
)
def test_a_row_that_no_daemon_wrote_is_passed_over_and_named_with_who_wrote_it(
    changes: dict[str, object], words: str
) -> None:
    found, (odd,) = geo_rows.read([row(**changes)], [IP])
    assert (found, odd.ip, odd.writer) == ({}, IP, "web1")
    assert words in odd.problem
    assert odd.problem.isprintable()


def test_the_first_good_row_of_an_address_counts() -> None:
    second, third = row(code="FR", name="France"), row(code="JP", name="Japan")
    assert places(row(code="de"), second, third) == {IP: Geo("FR", "France", "AS64500", "Example")}


def test_an_address_that_the_server_writes_otherwise_is_the_one_that_was_asked_about() -> None:
    assert places(row(ip="2a00:0:0::1")) == {OTHER: Geo("DE", "Germany", "AS64500", "Example")}


VALUES = st.one_of(
    st.none(),
    st.text(max_size=210),
    st.sampled_from(["DE", "Germany", "AS1", "mmdb"]),
    st.sampled_from(["\0", "\u202e"]),
)
TIMES = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.just(AT))


@given(
    st.lists(
        st.tuples(
            st.sampled_from([IP, OTHER, "::ffff:8.8.8.8", "10.0.0.0/8"]),
            st.text(max_size=5),
            *[VALUES] * 5,
            TIMES,
            TIMES,
            st.sampled_from([True, False, None]),
        )
    )
)
def test_whatever_rows_hold_what_is_taken_is_clean(rows: list[tuple[Any, ...]]) -> None:
    found, odd = geo_rows.read(rows, [IP, OTHER])
    assert len(odd) <= len(rows)
    for geo in found.values():
        assert countries.is_code(geo.country_code or "")
        assert all(text is None or (text.isprintable() and len(text) <= 200) for text in geo)
