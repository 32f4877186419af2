"""Which rows are due beyond doubt, by the texts that the server gives."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod.clock import to_text
from bangeod.store import times
from bangeod.store.postgres.sure_deletion import keys_of_numbers, keys_of_texts, moment

NOW = 1_795_305_600  # 2026-11-22T00:00:00Z
MOMENT = moment(NOW * times.MICROSECONDS)
EARLIER, LATER = "2026-11-21T23:59:59.999999+00:00", "2026-11-22 00:00:01Z"
# Near to times, so that most of them are of one form or another, and some of a day that there is not.
LIKE_TIMES = st.from_regex(
    r"[0-9]{3}[0-9 ]-[01][0-9]-[0-3][0-9][T tx][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{0,7})?(Z|z|[+-]00:00|\+02:00)?",
    fullmatch=True,
).map(lambda text: text if re.fullmatch("[ -~]*", text) else LATER)


def test_what_is_due_is_named_by_its_key() -> None:
    assert keys_of_texts(f"8.8.8.8\n{EARLIER}\n9.9.9.9\n2020-01-01 00:00:00\n", f"{LATER}\n", **MOMENT) == [
        "8.8.8.8",
        "9.9.9.9",
    ]
    assert keys_of_numbers("8.8.8.8\n-5\n9.9.9.9\n17\n", "18\n") == ["8.8.8.8", "9.9.9.9"]


def test_where_there_are_no_rows_nothing_is_in_doubt() -> None:
    assert keys_of_texts("", "", **MOMENT) == []
    assert keys_of_numbers("", "") == []


@pytest.mark.parametrize(
    "time", ["", "never", "2026-02-30T00:00:00", "0000-01-01T00:00:00", "2020-01-01T00:00:00+02:00"]
)
def test_a_time_that_is_to_be_looked_at_is_a_doubt_wherever_it_is(time: str) -> None:
    assert keys_of_texts(f"8.8.8.8\n{EARLIER}\n", f"{LATER}\n{time}\n", **MOMENT) is None
    assert keys_of_texts(f"8.8.8.8\n{EARLIER}\n9.9.9.9\n{time}\n", "", **MOMENT) is None


@pytest.mark.parametrize("separator", ["T", " "])
def test_a_row_of_the_very_second_is_a_doubt(separator: str) -> None:
    assert keys_of_texts("", f"2026-11-22{separator}00:00:00.000001\n", **MOMENT) is None


def test_a_key_with_a_newline_is_a_doubt() -> None:
    assert keys_of_texts(f"8.8.8.8\nx\n{EARLIER}\n", "", **MOMENT) is None
    assert keys_of_numbers("8.8.8.8\nx\n17\n", "") is None


def test_a_number_that_is_none_is_a_doubt() -> None:
    assert keys_of_numbers("8.8.8.8\n17\n", "\n") is None


@given(LIKE_TIMES)
def test_a_text_without_a_doubt_is_a_time_that_compares_as_it_is_spelled(text: str) -> None:
    is_due = text < MOMENT["day"] or (text < f"{MOMENT['day']}U" and text[11:19] < MOMENT["time"])  # as SQL has it
    due, others = (f"8.8.8.8\n{text}\n", "") if is_due else ("", f"{text}\n")
    if keys_of_texts(due, others, **MOMENT) is not None:
        micros = times.read(text)
        assert micros is not None
        assert is_due == (micros < NOW * times.MICROSECONDS)


@given(st.integers(0, 253_402_300_799), st.sampled_from(["", ".5"]), st.sampled_from(["", "Z", "+00:00"]))
def test_usual_times_are_in_no_doubt_but_on_a_leap_day(seconds: int, fraction: str, zone: str) -> None:
    text = to_text(seconds).removesuffix("Z") + fraction + zone
    if "-02-29" not in text:
        assert keys_of_texts(f"8.8.8.8\n{text}\n", "", **MOMENT) == ["8.8.8.8"]
