"""Records of MaxMind's own files as geoip2's models."""

from typing import Any

import pytest

from bangeod.geo.sources.mmdb.maxmind_models import typed
from tests.support.mmdb.files import GERMANY, GOOGLE

IP = "8.8.8.8"


@pytest.mark.parametrize(
    ("database_type", "record", "model"),
    [
        ("GeoLite2-Country", {"country": GERMANY}, "Country"),
        ("GeoIP2-Country", {"country": GERMANY}, "Country"),
        ("GeoLite2-City", {"city": {"names": {"en": "Berlin"}}}, "City"),
        ("GeoIP2-City-North-America", {"city": {"names": {"en": "Berlin"}}}, "City"),
        ("GeoIP2-Enterprise", {"city": {"confidence": 11}}, "Enterprise"),
        ("GeoIP2-Precision-Enterprise", {"city": {"confidence": 11}}, "Enterprise"),
        ("GeoLite2-ASN", GOOGLE, "ASN"),
        ("GeoIP2-ISP", GOOGLE | {"isp": "Google"}, "ISP"),
        ("GeoIP2-Anonymous-IP", {"is_anonymous": True}, "AnonymousIP"),
        ("GeoIP-Anonymous-Plus", {"is_anonymous": True}, "AnonymousPlus"),
        ("GeoIP2-Connection-Type", {"connection_type": "Cellular"}, "ConnectionType"),
        ("GeoIP2-Domain", {"domain": "example.org"}, "Domain"),
    ],
)
def test_the_type_of_the_file_says_which_model_it_is(database_type: str, record: dict[str, Any], model: str) -> None:
    found = typed(database_type, IP, 24, record)
    assert found is not None
    assert found.model == f"geoip2.models.{model}"
    told = dict(found.fields)
    network = told.get("network") or told["traits"]["network"]
    assert network == "8.8.8.0/24"
    for key, value in record.items():
        assert told[key] == value


@pytest.mark.parametrize(
    "database_type", ["country ipvAll", "DBIP-Country-Lite", "ipinfo lite", "", "GeoIP2-Static-IP"]
)
def test_what_is_not_of_maxminds_products_has_no_model(database_type: str) -> None:
    assert typed(database_type, IP, 24, {"country": GERMANY}) is None


@pytest.mark.parametrize(
    "record",
    [
        None,
        [],
        "DE",
        {"country": "DE"},
        {"country": 7},
        {"subdivisions": 7},
        {"traits": [1]},
        {"self": 1},
        {"locales": 1},
    ],
)
def test_a_record_that_is_none_of_its_type_has_no_model(record: object) -> None:
    found = typed("GeoLite2-City", IP, 24, record)
    assert found is None or found.model == "geoip2.models.City"


def test_a_record_is_not_changed_by_it() -> None:
    record = {"traits": {"is_anycast": True}, "ip_address": "1.1.1.1", "prefix_len": 1}
    assert typed("GeoLite2-Country", IP, 24, record) is not None
    assert record == {"traits": {"is_anycast": True}, "ip_address": "1.1.1.1", "prefix_len": 1}
