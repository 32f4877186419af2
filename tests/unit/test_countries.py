"""Countries: codes and names."""

import pytest

from bangeod.geo import countries


@pytest.mark.parametrize(
    ("code", "name"),
    [("DE", "Germany"), ("TW", "Taiwan"), ("PS", "Palestine"), ("XK", "Kosovo"), ("AX", "Åland Islands")],
)
def test_names_are_the_librarys_apolitical_ones_and_kosovo_has_one(code: str, name: str) -> None:
    assert countries.name(code) == name


@pytest.mark.parametrize("code", ["", "ZZ", "--", "EU", "de", "DEU", "276", "Germany"])
def test_what_is_no_code_has_no_name(code: str) -> None:
    assert countries.name(code) is None
    assert not countries.is_code(code)


@pytest.mark.parametrize("value", [None, 276, b"DE", ["DE"], {}])
def test_what_is_no_text_is_no_code(value: object) -> None:
    assert not countries.is_code(value)
