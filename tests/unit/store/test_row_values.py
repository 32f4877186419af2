"""What is read from a row's columns, whatever they hold, and what an entry changes about them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod import countries, fields
from bangeod.model import DirtyEntry, Geo
from bangeod.store import row_values

GOOGLE = Geo("US", "United States", "AS15169", "Google LLC")


@pytest.mark.parametrize(
    ("stored", "code"),
    [
        ("DE", "DE"),
        ("de", "DE"),
        ("De", "DE"),
        (b"de", "DE"),
        (" DE\n", "DE"),
        ("DE\0", "DE"),
        ("DEU", "DE"),
        ("XK", "XK"),
        *((word, None) for word in ("", " ", "XX", "ZZ", "T1", "A1", "A2", "O1", "AP", "EU", "-", "--", "**", "??")),
        *((word, None) for word in ("Unknown", "N/A", "none", "NULL", "Germany", "\0", "ZZZ", "\N{KELVIN SIGN}R")),
        *((other, None) for other in (None, 0, 49, 49.5, float("inf"), b"", b"\xff\xfe", b"XX")),
    ],
)
def test_a_country_is_a_code_of_iso_3166_in_whatever_form_or_none(stored: object, code: str | None) -> None:
    assert row_values.read(stored, None, None, None).country_code == code


@pytest.mark.parametrize(
    ("stored", "asn", "org"),
    [
        (15169, "AS15169", None),
        (15169.0, "AS15169", None),
        ("15169", "AS15169", None),
        ("15169.0", "AS15169", None),
        ("AS15169", "AS15169", None),
        ("as15169", "AS15169", None),
        ("AS15169 Google LLC", "AS15169", "Google LLC"),
        (b"AS15169", "AS15169", None),
        (4_294_967_295, "AS4294967295", None),
        *((other, None, None) for other in (None, "", "-", "AS0", 0, -1, 2**32, 1.5, b"\xff", "Google", "N/A")),
    ],
)
def test_an_as_number_has_one_form_whatever_the_column_holds(stored: object, asn: str | None, org: str | None) -> None:
    assert row_values.read("US", None, stored, None) == Geo("US", None, asn, org)


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        pytest.param((None, None, "AS1", "One"), {"asn": "AS2", "org": "Two"}, id="as it was"),
        pytest.param(("XX", None, 1, "One"), {"asn": "AS2", "org": "Two"}, id="the same in other words"),
        pytest.param((None, None, "AS3", "One"), {}, id="another number by now"),
        pytest.param((None, None, "about AS1", "One"), {}, id="what can't be read"),
        pytest.param(("FR", None, "AS1", "One"), {}, id="a country by now"),
    ],
)
def test_without_a_country_an_as_is_replaced_where_it_is_still_the_one_that_was_read(
    row: tuple[object, ...], columns: dict[str, str]
) -> None:
    entry = DirtyEntry("8.8.8.8", Geo(asn="AS2", org="Two"), 1, 1, replaces=Geo(asn="AS1", org="One"))
    assert row_values.change(row, entry) == row_values.PlaceChange(columns)


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        ("Google LLC", "Google LLC"),
        (3303, "3303"),
        (3303.0, "3303"),
        (b"M\xc3\xbcnchen", "München"),
        (b"M\xfcnchen", "M\N{REPLACEMENT CHARACTER}nchen"),
        ("Goo\0gle", "Goo gle"),
        *((word, None) for word in (None, "", " ", "-", "Unknown", "unknown", "N/A", "None", "(null)")),
    ],
)
def test_names_are_text_on_one_line_or_nothing(stored: object, name: str | None) -> None:
    assert row_values.read("US", stored, None, stored) == Geo("US", name, None, name)


def test_the_organisation_of_its_own_column_comes_first() -> None:
    assert row_values.read("US", None, "AS15169 GOOGLE", "Google LLC").org == "Google LLC"


def test_without_a_country_there_is_no_name_of_one() -> None:
    assert row_values.read("XX", "Unknown country", "AS15169", None) == Geo(None, None, "AS15169", None)


anything = st.one_of(
    st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=12), st.binary(max_size=8)
)


@given(anything, anything, anything, anything)
def test_whatever_is_stored_is_read_into_the_documented_types(
    code: object, name: object, asn: object, org: object
) -> None:
    geo = row_values.read(code, name, asn, org)
    assert geo.country_code is None or countries.is_code(geo.country_code)
    assert geo.asn is None or geo.asn.removeprefix("AS").isdecimal()
    assert all(value is None or (type(value) is str and value) for value in geo)


def entry(geo: Geo, replaces: Geo | None = None) -> DirtyEntry:
    return DirtyEntry("8.8.8.8", geo, last_seen=1_795_305_600, resolved_at=1_795_305_600, replaces=replaces)


@pytest.mark.parametrize(
    ("row", "geo", "columns"),
    [
        ((None, None, None, None), Geo(asn="AS1", org="A"), {"asn": "AS1", "org": "A"}),
        (("DE", "Germany", "-", ""), Geo(asn="AS1", org="A"), {"asn": "AS1", "org": "A"}),
        ((None, None, 1, None), Geo(asn="AS1", org="A"), {"org": "A"}),
        ((None, None, "AS1", "-"), Geo(asn="AS1", org="A"), {"org": "A"}),
        ((None, None, None, "A"), Geo(asn="AS1", org="A"), {"asn": "AS1"}),
        ((None, None, "AS2", None), Geo(asn="AS1", org="A"), {}),
        ((None, None, None, "B"), Geo(asn="AS1", org="A"), {}),
        ((None, None, "the A company", None), Geo(asn="AS1", org="A"), {}),
        ((None, None, "AS1", "A"), Geo(asn="AS2", org="B"), {}),
        ((None, None, None, None), Geo(org="A"), {"org": "A"}),
        (("DE", "Germany", None, None), Geo(), {}),
    ],
)
def test_an_as_without_a_country_fills_in_what_is_not_known_of_it(
    row: tuple[object, ...], geo: Geo, columns: dict[str, str]
) -> None:
    assert row_values.change(row, entry(geo)) == row_values.PlaceChange(columns)


@pytest.mark.parametrize("word", ["XX", "--", "Unknown", "", 0, b"ZZ"])
def test_a_placeholder_gives_way_to_a_country_and_so_does_its_name(word: object) -> None:
    row = (word, "Unknown", "-", None)
    assert row_values.change(row, entry(GOOGLE)) == row_values.PlaceChange(GOOGLE._asdict(), resolved=True)
    assert row_values.change(row, entry(Geo("US"))).columns == {"country_code": "US", "country_name": None}


@pytest.mark.parametrize("row", [(b"us", None, 15169, "Google LLC"), ("us", "USA", "AS15169 Google LLC", "")])
def test_a_row_holds_what_was_read_in_whatever_form_it_does(row: tuple[object, ...]) -> None:
    moved = Geo("CA", "Canada", "AS15169", "Google LLC")
    assert row_values.change(row, entry(moved, replaces=GOOGLE)) == row_values.PlaceChange(
        moved._asdict(), resolved=True
    )


def test_the_same_country_in_lower_case_is_the_same() -> None:
    assert row_values.change(("us", None, 15169, None), entry(GOOGLE)) == row_values.PlaceChange(
        {"country_name": "United States", "org": "Google LLC"}
    )


NAMES = st.text("aZ9 !~-.\x7f\t\u00e9\0", max_size=8) | st.sampled_from(
    ["unknown", "N/A", "None", "a" * 200, "a" * 201]
)


@given(NAMES)
def test_a_name_that_needs_no_cleaning_is_what_cleaning_would_make_of_it(text: str) -> None:
    known = row_values.read(None, None, None, text).org
    cleaned = fields.name(text.replace("\0", " ").strip())
    assert known == (None if cleaned in ("unknown", "N/A", "None") else cleaned)


@pytest.mark.parametrize(
    "text", ["AS1", "AS999999999", "AS4294967295", "AS4294967296", "AS0", "AS01", "as1", "1", " AS1"]
)
def test_an_as_number_that_needs_no_cleaning_is_what_cleaning_would_make_of_it(text: str) -> None:
    assert row_values.read(None, None, text, None).asn == fields.as_number(text.strip())
