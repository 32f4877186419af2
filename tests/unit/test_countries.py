"""Countries: codes and names."""

import pytest

from bangeod import countries
from bangeod.cldr import NAMES


@pytest.mark.parametrize(
    ("code", "name"),
    [("DE", "Germany"), ("US", "United States"), ("GB", "United Kingdom"), ("RU", "Russia"), ("KR", "South Korea")],
)
def test_names_are_the_usual_short_ones(code: str, name: str) -> None:
    assert countries.name(code) == name


@pytest.mark.parametrize("code", ["", "ZZ", "--", "EU", "de", "DEU", "276", "Germany"])
def test_what_is_no_code_has_no_name(code: str) -> None:
    assert countries.name(code) is None
    assert not countries.is_code(code)


@pytest.mark.parametrize("value", [None, 276, b"DE", ["DE"], {}])
def test_what_is_no_text_is_no_code(value: object) -> None:
    assert not countries.is_code(value)


def test_the_codes_are_those_of_iso_3166_and_kosovo() -> None:
    iso3166 = pytest.importorskip("iso3166", reason="the package iso3166 is not installed")
    assert set(countries.codes()) == {*iso3166.countries_by_alpha2, "XK"}


def test_the_alpha_3_codes_are_those_of_iso_3166() -> None:
    iso3166 = pytest.importorskip("iso3166", reason="the package iso3166 is not installed")
    for alpha_3, country in iso3166.countries_by_alpha3.items():
        assert countries.of_alpha_3(alpha_3) == country.alpha2
    assert countries.of_alpha_3("XXX") is None


def test_the_names_are_those_of_cldr() -> None:
    babel = pytest.importorskip("babel.core", reason="the package babel is not installed")
    if babel.get_cldr_version() != "49":
        pytest.skip(f"this babel has CLDR {babel.get_cldr_version()}")
    territories = babel.Locale("en").territories
    assert {code: territories[code] for code in NAMES} == NAMES
