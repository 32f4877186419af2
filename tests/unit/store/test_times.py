"""Which values of the database are times, to the microsecond."""

import math
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bangeod.store import times
from bangeod.store.sqlite import queries
from bangeod.store.sqlite.engine import engine

NOON = 1_704_110_400_000_000  # 2024-01-01T12:00:00Z, in microseconds
YEAR_10000 = 253_402_300_800
HOUR = 3_600_000_000
EARLIEST = times.EARLIEST  # a number from here on is seconds
END = times.END


@pytest.mark.parametrize(
    ("value", "micros"),
    [
        ("2024-01-01T12:00:00", NOON),
        ("2024-01-01 12:00:00", NOON),
        ("2024-01-01T12:00:00Z", NOON),
        ("2024-01-01 12:00:00Z", NOON),
        ("2024-01-01T12:00:00.5", NOON + 500_000),
        ("2024-01-01T12:00:00.000001Z", NOON + 1),
        ("2024-01-01 12:00:00.123456", NOON + 123_456),
        ("2024-01-01T12:00:00+00:00", NOON),
        ("2024-01-01T12:00:00-00:00", NOON),
        ("2024-01-01T14:00:00+02:00", NOON),
        ("2024-01-01 06:30:00.25-05:30", NOON + 250_000),
        ("2024-01-01T12:00:00+23:59", NOON - 24 * HOUR + HOUR // 60),
        ("2024-01-01T12:00:00-23:59", NOON + 24 * HOUR - HOUR // 60),
        ("2024-02-29T00:00:00", 1_709_164_800_000_000),
        ("1969-12-31T23:59:59.9", -100_000),
        ("0001-01-01T00:00:00", -62_135_596_800_000_000),
        ("9999-12-31T23:59:59.999999", YEAR_10000 * 1_000_000 - 1),
        # The offset takes these over the ends of the calendar; they are in order before and after all others.
        ("0001-01-01T00:00:00+23:59", -62_135_596_800_000_000 - 24 * HOUR + HOUR // 60),
        ("9999-12-31T23:59:59-00:01", (YEAR_10000 + 59) * 1_000_000),
        (1_704_110_400, NOON),
        (EARLIEST, EARLIEST * 1_000_000),
        (END - 1, (END - 1) * 1_000_000),
        (float(EARLIEST), EARLIEST * 1_000_000),
        (END - 0.25, END * 1_000_000 - 250_000),
        (1_704_110_400.0, NOON),
        (1_704_110_400.5, NOON + 500_000),
        ("1704110400.5", NOON + 500_000),  # what a column of type TEXT makes of a real
        ("1704110400.0", NOON),
        ("1704110400.1234567", NOON + 123_456),
        (1_704_110_400.0000015, NOON + 1),
        ("1704110400", NOON),
        ("001704110400", NOON),
        ("631152000", EARLIEST * 1_000_000),
        ("631152000.0", EARLIEST * 1_000_000),
        ("7258118399", (END - 1) * 1_000_000),
        ("7258118399.999999", END * 1_000_000 - 1),
    ],
)
def test_a_time_is_read_to_the_microsecond(value: object, micros: int) -> None:
    assert times.read(value) == micros


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"2024-01-01T12:00:00Z",
        b"1704110400",
        "",
        " ",
        "now",
        "NULL",
        "2024-01-01",
        "12:00:00",
        "2024-01-01T12:00",
        "2024-01-01T12",
        "2024-01-01T12:00:00.",
        "2024-01-01T12:00:00.1234567",
        "2024-01-01T12:00:00,5",
        "2024-01-01t12:00:00",
        "2024-01-01T12:00:00z",
        "2024-01-01  12:00:00",
        "2024-01-01_12:00:00",
        "2024-01-01T12:00:00 Z",
        "2024-01-01T12:00:00 +00:00",
        " 2024-01-01T12:00:00Z",
        "2024-01-01T12:00:00Z ",
        "2024-01-01T12:00:00Z\n",
        "2024-01-01T12:00:00\0",
        "2024-01-01T12:00:00\0Z",
        "2024-01-01T12:00:00+0000",
        "2024-01-01T12:00:00+00",
        "2024-01-01T12:00:00+24:00",
        "2024-01-01T12:00:00+00:60",
        "2024-01-01T12:00:00+01:00:00",
        "2024-01-01T12:00:00Z+01:00",
        "2024-01-01T12:00:00\N{MINUS SIGN}01:00",
        "2024-02-30T12:00:00",
        "2023-02-29T12:00:00",
        "1900-02-29T12:00:00",
        "2024-13-01T12:00:00",
        "2024-00-01T12:00:00",
        "2024-01-00T12:00:00",
        "2024-01-32T12:00:00",
        "2024-01-01T24:00:00",
        "2024-01-01T23:60:00",
        "2024-01-01T23:59:60",
        "0000-01-01T12:00:00",
        "10000-01-01T12:00:00",
        "-2024-01-01T12:00:00",
        "20240101T120000",
        "2024-W01-1T12:00:00",
        "٢٠٢٤-٠١-٠١T١٢:٠٠:٠٠",  # noqa: RUF001  these digits are not ASCII; that is the point
        "١٧٠٤١١٠٤٠٠",
        "1704110400²",
        "-1704110400",
        "+1704110400",
        " 1704110400",
        "1704110400\n",
        "1704110400\0",
        "1_704_110_400",
        "99999999.5",
        "1704110400.",
        "1704110400.5Z",
        "-1704110400.5",
        "1704110400.5.5",
        "2451544.5",  # a Julian day
        "1.7e9",
        "0x10",
        "0001704110400",
        0,  # "never", as -1 is
        "0",
        0.0,
        -0.0,
        -1,
        -1.0,
        EARLIEST - 1,
        EARLIEST - 0.25,
        "631151999",
        "631151999.999999",
        END,
        float(END),
        "7258118400",
        "7258118400.0",
        2_461_375,  # Julian days
        2_461_375.722,
        "2461375.722",
        1_704_110_400_000,  # milliseconds
        1_704_110_400_000.0,
        "1704110400000",
        1_704_110_400_000_000,  # microseconds
        "1704110400000000",
        -1_704_110_400,
        2**63 - 1,
        -(2**63),
        1e300,
        math.inf,
        -math.inf,
        math.nan,
    ],
)
def test_what_is_not_exactly_a_time_is_unreadable(value: object) -> None:
    assert times.read(value) is None


def test_whole_seconds_are_cut_off_towards_zero() -> None:
    assert times.whole_seconds("2024-01-01T12:00:00.999999") == 1_704_110_400
    assert times.whole_seconds("1969-12-31T23:59:58.5") == -1
    assert times.whole_seconds("now") is None


offsets = st.integers(-(24 * 60 - 1), 24 * 60 - 1).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(timezones=st.none() | offsets | st.just(UTC)), st.sampled_from("T "))
def test_whatever_isoformat_writes_is_read_as_that_moment(moment: datetime, separator: str) -> None:
    in_utc = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    micros = (in_utc - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert times.read(moment.isoformat(separator)) == micros


near_times = st.from_regex(
    r"[0-9]{4}-[0-3][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9]"
    r"([.,][0-9]{0,7})?(Z|z|[+-][0-2][0-9]:?[0-6][0-9])?",
    fullmatch=True,
)


@given(near_times)
def test_text_that_is_read_means_to_python_what_it_means_here(text: str) -> None:
    micros = times.read(text)
    if micros is None:
        return
    moment = datetime.fromisoformat(text)
    in_utc = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    assert micros == (in_utc - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@given(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(), st.binary()))
def test_no_value_that_sqlite_can_store_raises(value: object) -> None:
    micros = times.read(value)
    assert micros is None or -(2**63) <= micros < 2**63


near_the_ends = st.one_of(*(st.floats(end - 10.0, end + 10.0) for end in (EARLIEST, END)))


@given(near_the_ends | st.floats(0, 1e13))
def test_numbers_are_seconds_of_this_age_alone(seconds: float) -> None:
    assert (times.read(seconds) is not None) == (EARLIEST <= seconds < END)
    assert (times.read(int(seconds)) is not None) == (EARLIEST <= int(seconds) < END)


# --- the expressions in SQL ---

utc_endings = st.sampled_from(
    ["", "Z", "+00:00", ".5", ".123Z", ".123456", ".123456Z", ".123456+00:00", "z", "\0Z", "+01:00"]
)
dates_and_times = st.from_regex(
    r"(19[67]|20[0-9])[0-9]-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9]", fullmatch=True
)


def one(expression: str, value: object) -> int | None:
    """Return what an expression makes of a value, in a column without a type."""
    with closing(engine.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (v)")
        connection.execute("INSERT INTO t VALUES (?)", (value,))
        found: int | None = connection.execute(f"SELECT {expression.format(c='v')} FROM t").fetchone()[0]
        return found


@settings(deadline=None)  # SQLite on a busy machine
@given(
    st.builds("".join, st.tuples(dates_and_times, utc_endings))
    | near_times
    | st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | dates_and_times.map(str.encode)
)
def test_the_short_way_to_seconds_agrees_with_the_long_one(value: object) -> None:
    assert (
        one(queries.SECONDS, value) == times.whole_seconds(value) == one(f"({queries.MICROSECONDS}) / 1000000", value)
    )


@pytest.mark.parametrize("day", ["2024-02-29", "2023-02-29", "2024-02-30", "2024-04-31", "2024-12-31", "1969-12-31"])
def test_the_last_days_of_a_month_are_read_in_sql_as_in_python(day: str) -> None:
    assert one(queries.SECONDS, f"{day} 23:00:00.123Z") == times.whole_seconds(f"{day} 23:00:00.123Z")
