"""The embedded default: the package's own answers, with names, IPv4 only."""

import ipaddress
import random
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ip3country import CountryLookup
from structlog.testing import capture_logs

from bangeod import countries
from bangeod.errors import SourceError
from bangeod.geo.sources import embedded
from bangeod.geo.sources.embedded import EmbeddedSource
from bangeod.model import Geo, Origin

PACKAGE = CountryLookup()
SOURCE = EmbeddedSource()


def expected(ip: str) -> str | None:
    code = PACKAGE.lookupStr(ip)
    return code if countries.is_code(code) else None


def answered(ip: str) -> str | None:
    geo = SOURCE.find(ip)
    return geo.country_code if geo else None


def test_a_country_comes_with_its_name_and_without_an_as() -> None:
    assert SOURCE.origin is Origin.EMBEDDED
    assert SOURCE.find("8.8.8.8") == Geo("US", "United States")


@given(st.ip_addresses(v=4))
def test_it_says_what_the_package_says(address: ipaddress.IPv4Address) -> None:
    assert answered(str(address)) == expected(str(address))


def test_it_says_what_the_package_says_at_the_borders_of_its_ranges() -> None:
    for end in random.Random(1).sample(PACKAGE.ipRanges, 500):
        for number in (end - 1, min(end, 2**32 - 1)):
            ip = str(ipaddress.IPv4Address(number))
            assert answered(ip) == expected(ip)


@pytest.mark.parametrize("ip", ["0.0.0.0", "255.255.255.255"])  # noqa: S104 - nothing is bound
def test_the_first_and_the_last_address_have_no_country(ip: str) -> None:
    assert SOURCE.find(ip) is None


def test_ipv6_is_not_known_but_for_the_ipv4_address_that_it_carries() -> None:
    assert SOURCE.find("2a00:1450:4001:80b::200e") is None
    assert SOURCE.find("64:ff9b::808:808") == SOURCE.find("8.8.8.8")
    assert SOURCE.find("2002:808:808::1") == SOURCE.find("8.8.8.8")
    assert SOURCE.find("2001:0:808:808::f7f7:f7f7") == SOURCE.find("8.8.8.8")


def test_the_packages_numbers_are_read_into_an_array() -> None:
    """If this fails with a new ip3country, the next test holds, and some megabytes are lost."""
    assert isinstance(embedded._CompactLookup().ipRanges, array)


def test_a_package_that_makes_its_list_in_another_way_gives_the_same_table(monkeypatch: pytest.MonkeyPatch) -> None:
    compact = embedded._read()
    monkeypatch.setattr(embedded, "_CompactLookup", CountryLookup)
    assert embedded._read() == compact


def test_equal_answers_are_one_object() -> None:
    assert SOURCE.find("8.8.8.8") is SOURCE.find("8.8.4.4")


def test_a_package_without_its_data_is_an_error_once_and_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise FileNotFoundError("ip_supalite.table")

    monkeypatch.setattr(embedded, "_CompactLookup", broken)
    source = EmbeddedSource()
    with pytest.raises(SourceError, match="install it again"):
        source.load()
    with capture_logs() as logs:
        assert source.find("8.8.8.8") is None
        assert source.find("8.8.8.8") is None
    assert [line["event"] for line in logs] == ["embedded_failed"]
