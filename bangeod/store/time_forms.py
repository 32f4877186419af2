"""The form in which a time is written: that of the web app's own times, so that it can read and compare a whole column.

times.py says which moment a value means; this module says how to write a moment in a given form. SQLAlchemy and
peewee read ``2026-11-30 05:21:26.722751`` as a time without a zone and ``2026-11-30T05:21:26Z`` as one with a zone,
and Python refuses to compare the two; to SQLite a number is less than any text.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from bangeod.clock import to_text
from bangeod.store import times

_ENDING = re.compile(r"(?:\.([0-9]+))?(.*)", re.DOTALL)  # of a date and time: from its 20th character on


class TimeKind(Enum):
    """The types in which a time is written."""

    DATE = "date and time, as text"
    INTEGER = "seconds since the epoch, an integer"
    REAL = "seconds since the epoch, a real"
    DIGITS = "seconds since the epoch, as text"


@dataclass(frozen=True, slots=True)
class TimeForm:
    """How to write a moment. Fields that a kind doesn't use keep their defaults, so that equal forms compare equal."""

    kind: TimeKind = TimeKind.DATE
    separator: str = "T"  # between date and time
    fraction: int = 0  # digits after the point; without any there is no point either
    ending: str = "Z"  # of a date and time: "" (it has no zone, and is in UTC), "Z" or "+00:00"

    def write(self, epoch: int) -> str | int | float:
        """Write seconds since the epoch in this form. Numbers stay in the range that can be read again."""
        point = f".{'0' * self.fraction}" if self.fraction else ""
        if self.kind is TimeKind.DATE:
            return to_text(epoch)[:-1].replace("T", self.separator) + point + self.ending
        seconds = min(max(epoch, times.EARLIEST), times.END - 1)
        if self.kind is TimeKind.INTEGER:
            return seconds
        return float(seconds) if self.kind is TimeKind.REAL else f"{seconds}{point}"


DEFAULT: Final = TimeForm()  # YYYY-MM-DDTHH:MM:SSZ
SECONDS: Final = TimeForm(TimeKind.INTEGER)
# Forms to try where only a constraint says which one is right, the most common first.
USUAL: Final = (
    DEFAULT,
    *(
        TimeForm(TimeKind.DATE, separator, fraction, ending)
        for fraction in (0, 6, 3)
        for ending in ("", "+00:00", "Z")
        for separator in (" ", "T")
    ),
    SECONDS,
    TimeForm(TimeKind.REAL),
    TimeForm(TimeKind.DIGITS),
)


class TimeForms(NamedTuple):
    """The forms of the two times that bangeod writes."""

    cached_at: TimeForm = DEFAULT
    last_seen: TimeForm = DEFAULT


def of(value: object) -> TimeForm | None:
    """Return the form of a database value; None where it is no time. An offset becomes ``+00:00``."""
    if times.read(value) is None:
        return None
    if not isinstance(value, str):
        return TimeForm(TimeKind.REAL) if isinstance(value, float) else SECONDS
    if "-" not in value[:5]:
        return TimeForm(TimeKind.DIGITS, fraction=len(value.partition(".")[2]))
    fraction, ending = _ENDING.fullmatch(value[19:]).groups()  # type: ignore[union-attr]  # it matches any text
    return TimeForm(TimeKind.DATE, value[10], len(fraction or ""), ending if ending in ("", "Z") else "+00:00")


def settled(declared: str) -> TimeForm | None:
    """Return the form that a column's declared type demands, whatever its rows hold; None where the rows decide.

    To SQLite DATETIME and TIMESTAMP are numeric (sqlite.org/datatype3.html, 3.1), but such columns mostly store text.
    """
    name = declared.upper()
    if "INT" in name:
        return SECONDS
    if any(part in name for part in ("CHAR", "CLOB", "TEXT", "BLOB")):
        return None
    return TimeForm(TimeKind.REAL) if any(part in name for part in ("REAL", "FLOA", "DOUB")) else None


def choose(declared: str, newest: object) -> TimeForm:
    """Return the form for a column, given its declared type and the newest of its readable values."""
    form = settled(declared) or of(newest)
    if form is None:
        return SECONDS if any(part in declared.upper() for part in ("NUM", "DEC")) else DEFAULT
    return form


def newest(values: Iterable[object]) -> object:
    """Return the latest of the values that are times, None where none is; of equal times the last in SQLite's order."""
    read = ((times.read(value), value) for value in values)
    known = [
        (micros, type(value).__name__.replace("str", "text"), value) for micros, value in read if micros is not None
    ]
    return max(known)[2] if known else None
