"""Which values in the database are times, and which moments they mean.

A web app may have written times as text in a handful of forms or as seconds since the epoch. Anything else is no
time: its row is kept, since its age is unknown. So the grammar is exact, and narrower than that of SQLite's date
functions or of ``datetime.fromisoformat``:

- text ``YYYY-MM-DD``, ``T`` or one space, ``HH:MM:SS``, then optionally ``.`` and 1 to 6 digits, then optionally
  ``Z`` or ``±HH:MM`` (up to 23:59). Without an offset it is UTC. Day and time must exist: no 30 February, no
  24:00:00, no second 60, no year 0000. An offset may carry the moment past the ends of the calendar.
- an integer, or text of 1 to 12 ASCII digits without a sign: seconds since the epoch.
- a real: seconds since the epoch; a fraction of a microsecond is cut off. A column of type TEXT turns a real into
  text when it is stored, so text of 9 to 12 digits, a point and 1 to 17 more digits is a time too.

Numbers are seconds only from 1990 to 2200. Other numbers mean something else, and as seconds would put a row that
lives long before or after its time: Julian days (2,461,375.5), which SQLite itself makes of a time, milliseconds,
microseconds, -1 or 0 for "never", infinity.
"""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Final

EARLIEST: Final = 631_152_000  # 1990-01-01T00:00:00Z; a smaller number is no time
END: Final = 7_258_118_400  # 2200-01-01T00:00:00Z; this and larger numbers are no times
MICROSECONDS: Final = 1_000_000  # in a second
JULIAN_1970: Final = 2_440_587.5  # the Julian day on which 1970 began, at midnight

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - of times that are in UTC, and don't say so
_USUAL = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}[T ](?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?)(?:Z|\+00:00)?"
)
_DIGITS = re.compile(r"[0-9]{1,12}")
_REAL = re.compile(r"([0-9]{9,12})\.([0-9]{1,17})")
_DATE_AND_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:\.([0-9]{1,6}))?"
    r"(?:Z|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))?"
)


def read(value: object) -> int | None:
    """Return the microseconds since the epoch that a value means; None where it is no time.

    Takes whatever SQLite returns (None, int, float, str, bytes) and never raises.
    """
    if isinstance(value, str):
        return _of_text(value)
    if isinstance(value, int | float):
        return _of_number(value)
    return None


def whole_seconds(value: object) -> int | None:
    """Return the seconds since the epoch, rounded towards zero; None where the value is no time."""
    micros = read(value)
    if micros is None:
        return None
    return micros // MICROSECONDS if micros >= 0 else -(-micros // MICROSECONDS)  # as SQLite divides integers


def may_be(value: object) -> str | None:
    """Guess the unit of a number that is no time, for a message; None where nothing fits."""
    try:
        number = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        return None
    units = (("milliseconds", 1_000), ("microseconds", MICROSECONDS), ("nanoseconds", 1_000 * MICROSECONDS))
    if (EARLIEST / 86_400 + JULIAN_1970) <= number < (END / 86_400 + JULIAN_1970):
        return "a Julian day"
    return next((name for name, factor in units if EARLIEST * factor <= number < END * factor), None)


def _of_number(seconds: float) -> int | None:
    # The comparison is false for NaN too, and exact between int and float.
    if not EARLIEST <= seconds < END:
        return None
    return int(seconds * MICROSECONDS)


def _of_usual_text(text: str) -> int | None:
    """Read a time in UTC, without its zone, in half the time or less."""
    try:
        since = datetime.fromisoformat(text) - _NAIVE_EPOCH
    except ValueError:  # a day or a time of day that does not exist
        return None
    return (since.days * 86_400 + since.seconds) * MICROSECONDS + since.microseconds


def _of_text(text: str) -> int | None:
    if usual := _USUAL.fullmatch(text):
        return _of_usual_text(usual[1])
    if _DIGITS.fullmatch(text):
        return _of_number(int(text))
    if real := _REAL.fullmatch(text):
        seconds = _of_number(int(real[1]))
        return None if seconds is None else seconds + int(real[2][:6].ljust(6, "0"))
    return _of_date_and_time(text)


def _of_date_and_time(text: str) -> int | None:
    match = _DATE_AND_TIME.fullmatch(text)
    if match is None:
        return None
    *fields, fraction, sign, offset_hours, offset_minutes = match.groups()
    year, month, day, hour, minute, second = (int(field) for field in fields)
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:  # a day or a time of day that does not exist
        return None
    micros = (moment - _EPOCH) // _MICROSECOND + int((fraction or "").ljust(6, "0"))
    if sign is None:
        return micros
    offset = (int(offset_hours) * 60 + int(offset_minutes)) * 60 * MICROSECONDS
    return micros - offset if sign == "+" else micros + offset
