"""The form in which a time is put down."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod.clock import to_text
from bangeod.store import time_forms, times
from bangeod.store.time_forms import DEFAULT, SECONDS, TimeForm, TimeKind

NOON = 1_704_110_400  # 2024-01-01T12:00:00Z


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("2023-05-06T07:08:09Z", "2024-01-01T12:00:00Z"),
        ("2023-05-06 07:08:09", "2024-01-01 12:00:00"),
        ("2023-05-06 07:08:09Z", "2024-01-01 12:00:00Z"),
        ("2023-05-06 07:08:09.1", "2024-01-01 12:00:00.0"),
        ("2023-05-06 07:08:09.123456", "2024-01-01 12:00:00.000000"),
        ("2023-05-06T07:08:09.123Z", "2024-01-01T12:00:00.000Z"),
        ("2023-05-06 07:08:09+00:00", "2024-01-01 12:00:00+00:00"),
        ("2023-05-06 07:08:09-00:00", "2024-01-01 12:00:00+00:00"),
        ("2023-05-06T07:08:09.123456+02:00", "2024-01-01T12:00:00.000000+00:00"),
        (1_700_000_000, NOON),
        (1_700_000_000.5, float(NOON)),
        ("1700000000", "1704110400"),
        ("631152000", "1704110400"),
        ("1700000000.25", "1704110400.00"),
    ],
)
def test_a_moment_is_written_in_the_form_of_another(value: object, written: object) -> None:
    form = time_forms.of(value)
    assert form is not None
    assert form.write(NOON) == written
    assert type(form.write(NOON)) is type(written)


@pytest.mark.parametrize("value", [None, "", "now", "2024-01-01", 0, -1, 2_461_375.722, NOON * 1_000, b"1704110400"])
def test_what_is_no_time_has_no_form(value: object) -> None:
    assert time_forms.of(value) is None


def test_without_an_example_the_form_is_the_usual_one() -> None:
    assert DEFAULT.write(NOON) == to_text(NOON) == "2024-01-01T12:00:00Z"


REAL = TimeForm(TimeKind.REAL)
NAIVE = TimeForm(separator=" ", ending="")


@pytest.mark.parametrize(
    ("declared", "newest", "form"),
    [
        ("TEXT", None, DEFAULT),
        ("", None, DEFAULT),
        ("BLOB", None, DEFAULT),
        ("ANY", None, DEFAULT),
        ("VARCHAR(30)", None, DEFAULT),
        ("DATETIME", None, DEFAULT),
        ("TIMESTAMP", None, DEFAULT),
        ("DATE", None, DEFAULT),
        ("INTEGER", None, SECONDS),
        ("int", None, SECONDS),
        ("UNSIGNED BIG INT", None, SECONDS),
        ("REAL", None, REAL),
        ("FLOAT", None, REAL),
        ("double precision", None, REAL),
        ("NUMERIC", None, SECONDS),
        ("DECIMAL(10, 0)", None, SECONDS),
        ("TEXT", "1700000000", TimeForm(TimeKind.DIGITS)),
        ("TEXT", "2023-05-06 07:08:09", NAIVE),
        ("", 1_700_000_000, SECONDS),
        ("", 1_700_000_000.5, REAL),
        ("DATETIME", "2023-05-06 07:08:09", NAIVE),
        ("DATETIME", 1_700_000_000, SECONDS),
        ("NUMERIC", "2023-05-06 07:08:09", NAIVE),
        ("NUMERIC", 1_700_000_000.5, REAL),
        # What the type asks for wins: a text among numbers is none that the web app can compare.
        ("INTEGER", "2023-05-06 07:08:09", SECONDS),
        ("INTEGER", 1_700_000_000.5, SECONDS),
        ("REAL", "2023-05-06 07:08:09", REAL),
    ],
)
def test_the_declared_type_decides_and_else_the_newest_value(declared: str, newest: object, form: TimeForm) -> None:
    assert time_forms.choose(declared, newest) == form


@pytest.mark.parametrize(
    ("values", "newest"),
    [
        ([], None),
        ([None, "now", 0], None),
        (["2024-01-01 12:00:00", "2024-01-01T11:59:59Z"], "2024-01-01 12:00:00"),
        (["2024-01-01T11:59:59Z", "2024-01-01 12:00:00"], "2024-01-01 12:00:00"),
        (["2024-01-01T13:00:00+02:00", "2024-01-01 12:00:00", "tomorrow"], "2024-01-01 12:00:00"),
        ([NOON, "2024-01-01 12:00:00"], "2024-01-01 12:00:00"),
    ],
)
def test_the_newest_is_the_latest_of_the_readable_ones(values: list[object], newest: object) -> None:
    assert time_forms.newest(values) == newest


@pytest.mark.parametrize("form", [SECONDS, REAL, TimeForm(TimeKind.DIGITS)])
@pytest.mark.parametrize(("epoch", "written"), [(0, times.EARLIEST), (times.END, times.END - 1)])
def test_a_clock_that_is_wrong_never_makes_a_number_that_is_no_time(form: TimeForm, epoch: int, written: int) -> None:
    assert times.whole_seconds(form.write(epoch)) == written


forms = st.one_of(
    st.builds(
        TimeForm,
        st.just(TimeKind.DATE),
        st.sampled_from(("T", " ")),
        st.integers(0, 6),
        st.sampled_from(("", "Z", "+00:00")),
    ),
    st.builds(TimeForm, st.sampled_from((TimeKind.INTEGER, TimeKind.REAL))),
    st.builds(TimeForm, st.just(TimeKind.DIGITS), fraction=st.integers(0, 17)),
)


@given(forms, st.integers(times.EARLIEST, times.END - 1))
def test_what_is_written_is_read_as_that_moment_and_as_that_form(form: TimeForm, epoch: int) -> None:
    written = form.write(epoch)
    assert times.read(written) == epoch * times.MICROSECONDS
    assert time_forms.of(written) == form
