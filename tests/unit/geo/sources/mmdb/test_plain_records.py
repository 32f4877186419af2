"""Records of MMDBs as JSON can hold them, whatever is in them."""

import json
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod.geo.sources.mmdb.plain_records import CUT, DEEPEST, LONGEST_TEXT, MOST_VALUES, plain

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2**128 - 1) | st.floats() | st.binary(max_size=300) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(ANYTHING)
def test_whatever_a_record_holds_is_json(record: object) -> None:
    encoded = msgspec.json.encode(plain(record))
    json.loads(encoded, parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"a": [1, 2.5, True, None, "x"]}, {"a": [1, 2.5, True, None, "x"]}),
        (b"\x00\xff", "00ff"),
        (2**63 - 1, 2**63 - 1),
        (2**128 - 1, str(2**128 - 1)),
        (math.inf, "inf"),
        (math.nan, "nan"),
        ("x" * 2_000, "x" * LONGEST_TEXT + CUT),
    ],
)
def test_what_json_has_no_form_for_is_text(value: object, shown: object) -> None:
    assert plain(value) == shown


def test_maps_in_maps_are_cut_off_where_they_are_too_deep() -> None:
    record: object = "the end"
    for _ in range(500):
        record = {"a": record}
    text = json.dumps(plain(record))
    assert text.count("a") == DEEPEST
    assert "the end" not in text


def test_of_too_many_values_the_first_are_shown() -> None:
    assert len(plain(list(range(10_000)))) == MOST_VALUES
    assert len(json.dumps(plain([[0] * 100] * 100))) < 10 * MOST_VALUES
