"""What the raw records of the databases in use say, and that nothing in a record can do harm."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod import countries
from bangeod.geo.sources.mmdb.layouts import essence, interpret
from bangeod.model import Geo

US = {"geoname_id": 6252001, "iso_code": "US", "names": {"de": "USA", "en": "United States"}}
DE = {"geoname_id": 2921044, "iso_code": "DE", "names": {"de": "Deutschland", "en": "Germany"}}


@pytest.mark.parametrize(
    ("record", "geo"),
    [
        pytest.param({"country": US, "registered_country": DE}, Geo("US", "United States"), id="GeoLite2 Country"),
        pytest.param(
            {"continent": {"code": "EU"}, "registered_country": DE}, Geo("DE", "Germany"), id="only registered"
        ),
        pytest.param({"represented_country": US | {"type": "military"}}, Geo("US", "United States"), id="represented"),
        pytest.param({"country": {"names": {"en": "x"}}, "registered_country": DE}, Geo("DE", "Germany"), id="no code"),
        pytest.param({"country": {"iso_code": "DE"}}, Geo("DE", "Germany"), id="code without a name"),
        pytest.param({"country": {"iso_code": "XK"}}, Geo("XK", "Kosovo"), id="Kosovo"),
        pytest.param(
            {"autonomous_system_number": 15169, "autonomous_system_organization": "Google LLC"},
            Geo(asn="AS15169", org="Google LLC"),
            id="GeoLite2 ASN, DB-IP and ip-location-db ASN",
        ),
        pytest.param(
            {"country": US, "traits": {"autonomous_system_number": 1, "autonomous_system_organization": "Level 3"}},
            Geo("US", "United States", "AS1", "Level 3"),
            id="GeoIP2 Enterprise",
        ),
        pytest.param(
            {"autonomous_system_number": 1, "isp": "Some ISP", "organization": "Some Org"},
            Geo(asn="AS1", org="Some Org"),
            id="GeoIP2 ISP without a name of the AS",
        ),
        pytest.param({"country_code": "DE"}, Geo("DE", "Germany"), id="ip-location-db country"),
        pytest.param({"country_code": "DE", "country_name": "Deutschland"}, Geo("DE", "Deutschland"), id="name beside"),
        pytest.param(
            {"country": "US", "country_name": "United States"}, Geo("US", "United States"), id="IPinfo country"
        ),
        pytest.param(
            {"country": "US", "country_name": "United States", "asn": "AS15169", "as_name": "Google LLC"},
            Geo("US", "United States", "AS15169", "Google LLC"),
            id="IPinfo country and ASN",
        ),
        pytest.param(
            {"country": "United States", "country_code": "US", "asn": "AS15169", "as_name": "Google LLC"},
            Geo("US", "United States", "AS15169", "Google LLC"),
            id="IPinfo Lite",
        ),
        pytest.param({"org": "AS15169 Google LLC"}, Geo(asn="AS15169", org="Google LLC"), id="number within org"),
        pytest.param({"asn": 13335, "org": "Cloudflare"}, Geo(asn="AS13335", org="Cloudflare"), id="number as number"),
        pytest.param(
            {"asn": 13335, "country_code": "US", "name": "CLOUDFLARENET"},
            Geo(asn="AS13335", org="CLOUDFLARENET"),
            id="the country of an AS, under another key",
        ),
        pytest.param(
            {"asn": "AS13335", "country": "US", "domain": "cloudflare.com", "route": "1.0.0.0/24"},
            Geo(asn="AS13335"),
            id="the country of an AS without a name",
        ),
        pytest.param(
            {"asn": "AS1", "country": US, "name": "A"}, Geo("US", "United States", "AS1", "A"), id="nested beside an AS"
        ),
        pytest.param({"country_code": "gb"}, Geo("GB", countries.name("GB")), id="lower case"),
        pytest.param({"country_code": "ZZ", "country": "DE"}, Geo("DE", "Germany"), id="ZZ is no country"),
        pytest.param({"asn": "AS1", "as_name": " A\n\tB\x00\ud800 "}, Geo(asn="AS1", org="A B"), id="name on one line"),
        pytest.param({"asn": "AS1", "as_name": "x" * 9000}, Geo(asn="AS1", org="x" * 200), id="long name is cut"),
    ],
)
def test_layouts(record: object, geo: Geo) -> None:
    assert interpret(record) == geo


@pytest.mark.parametrize(
    "record",
    [
        None,
        [],
        "US",
        7,
        {},
        {"country": None},
        {"country": ["US"]},
        {"country": {"iso_code": 7, "names": ["en"]}},
        {"country": {"iso_code": ""}},
        {"country_code": "--"},
        {"country_code": "-", "country_name": "-"},
        {"country_code": "EU"},
        {"country_code": b"US"},
        {"country_name": "Germany"},
        {"asn": "", "as_name": ""},
        {"asn": 0},
        {"asn": -1},
        {"asn": 2**32},
        {"asn": True},
        {"asn": 1.5},
        {"asn": "AS"},
        {"asn": "AS٣"},
        {"asn": "AS" + "9" * 5000},
        {"org": "-"},
        {"traits": ["autonomous_system_number"]},
        {"connection_type": "Cable/DSL"},
    ],
)
def test_a_record_that_says_nothing_we_keep(record: object) -> None:
    assert interpret(record) is None


KEYS = st.sampled_from(
    [
        "country",
        "country_code",
        "country_name",
        "registered_country",
        "represented_country",
        "traits",
        "iso_code",
        "names",
        "en",
        "asn",
        "as_name",
        "org",
        "autonomous_system_number",
        "autonomous_system_organization",
        "isp",
        "countryCode",
        "cc",
        "carrier",
        "mcc",
        "name",
        "rir",
        "route",
        "AutonomousSystemNumber",
        "AutonomousSystemOrganization",
    ]
)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.sampled_from(["US", "de"])
)
TREES: st.SearchStrategy[Any] = st.recursive(
    LEAVES, lambda below: st.lists(below, max_size=3) | st.dictionaries(KEYS | LEAVES, below, max_size=6), max_leaves=30
)


@given(TREES | st.dictionaries(KEYS, TREES))
def test_any_record_gives_clean_fields_or_nothing(record: object) -> None:
    geo = interpret(record)
    if geo is None:
        return
    assert geo.country_code is None or countries.is_code(geo.country_code)
    assert (geo.country_code is None) == (geo.country_name is None)
    assert geo.asn is None or 0 < int(geo.asn.removeprefix("AS")) < 2**32
    for text in filter(None, geo):
        assert text.isprintable()
        assert 0 < len(text) <= 200


@given(st.dictionaries(KEYS, TREES), st.dictionaries(KEYS, TREES))
def test_records_of_one_essence_say_the_same(one: dict[str, object], other: dict[str, object]) -> None:
    assert interpret(one | {"city": 1}) == interpret(one)
    assert essence(one | {"city": 1}) == essence(one)
    if repr(essence(one)) == repr(essence(other)):
        assert interpret(one) == interpret(other)
