"""What a value of SQLite's becomes in a column of the server's, and the text by which both are compared.

SQLite stores any value in any column. What a column of the server's can't hold is no reason to change it: then the row
is not copied, and named. Only the two names that bangeod itself cuts, where a column has no room for them, are cut.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import Final, NamedTuple

from bangeod.clock import to_text
from bangeod.store import time_forms, times
from bangeod.store.postgres import queries
from bangeod.store.postgres.columns import Column, Kind
from bangeod.store.time_forms import TimeForm, TimeKind

TIMES: Final = frozenset({"cached_at", "last_seen", "created_at", "expires_at"})
DISTINCT: Final = 8_192  # times that are kept as they were read: many rows have been seen, or resolved, at one time

_CUT: Final = frozenset({"country_name", "org"})  # as columns.py cuts them
_MOMENTS: Final = (Kind.MOMENT, Kind.NAIVE)
_SECONDS: Final = (Kind.INTEGER, Kind.REAL, Kind.NUMERIC)
# Whose texts the server alone knows: it is asked what it makes of a value.
_TOLD_BY_SERVER: Final = (Kind.REAL, Kind.NUMERIC, Kind.ADDRESS, Kind.OTHER)
_MICROS: Final = {
    Kind.MOMENT: queries.MICROS_OF_MOMENT,
    Kind.NAIVE: queries.MICROS_OF_MOMENT.replace("+00'", "'"),
}
_LARGEST: Final = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63}
_EMPTY: Final = {Kind.TEXT: "", **dict.fromkeys(_SECONDS, "0")}
_PADDED: Final = ("character", "bpchar")
_WHOLE_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")
_AUTONOMOUS_SYSTEM: Final = re.compile(r"[Aa][Ss]([0-9]{1,10})")
_UNREADABLE: Final = "="  # before the text of a time that can't be read
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_THOUSAND: Final = 1_000  # microseconds


class UnfitValueError(Exception):
    """A column can't hold a value; the message says what the value is that it can't hold."""


class Fitted(NamedTuple):
    """A value as it goes to the server, and the text by which it is compared; both None for NULL.

    ``told`` is None, too, where only the server knows the text.
    """

    sent: str | None
    told: str | None
    is_cut: bool = False


_NULL: Final = Fitted(None, None)


@dataclass(frozen=True)
class CopiedColumn:
    """A column that both sides have.

    ``type``: the server's, in SQL, with its length or precision. ``form``: that of the times which a column of text has
    already on the server; None where it has none. ``is_key``: rows are recognised by it.
    """

    source: str  # the name in SQLite
    column: Column
    type: str
    form: TimeForm | None = None
    is_key: bool = False
    may_be_empty: bool = False  # an empty value may stand for NULL, where the column takes none

    @property
    def name(self) -> str:
        return self.column.name

    @property
    def is_time(self) -> bool:
        return self.name in TIMES or self.column.kind in _MOMENTS

    @cached_property
    def is_told_by_server(self) -> bool:
        """Say whether only the server knows by which text a value is compared."""
        if self.column.kind in _TOLD_BY_SERVER or (self.column.kind in _MOMENTS and self.type != self.column.type):
            return True
        return not self.is_key and self.column.not_null and self.column.default is not None

    def read(self, value: str | None = None) -> str:
        """Return the SQL of the text by which the column is compared, or another expression of its type."""
        value = value or self.column.sql
        if self.column.kind in _MOMENTS:
            micros = _MICROS[self.column.kind].format(c=value)
            return f"coalesce(CAST({micros} AS text), '{_UNREADABLE}' || CAST({value} AS text))"
        return f"CAST({value} AS text)"

    def written(self, value: str) -> str:
        """Return the SQL to write what is sent, which is itself SQL for a text or NULL."""
        written = f"CAST({value} AS {self.type})"
        needs_default = self.column.not_null and self.column.default is not None and not self.is_key
        return f"coalesce({written}, ({self.column.default}))" if needs_default else written

    def of_server(self, text: str | None) -> str | None:
        """Return the text by which a value is compared, from what the server returned for ``read``."""
        return _time_told(text) if text is not None and self._is_text_time else text

    def micros(self, told: str | None) -> int | None:
        """Return the microseconds since the epoch of a time that is told; None where it is none."""
        if told is None or told.startswith(_UNREADABLE):
            return None
        if self.column.kind in _SECONDS:
            return times.read(float(told)) if self.column.kind is Kind.REAL else times.read(told)
        try:
            return int(told)
        except ValueError:
            return None

    def fit(self, value: object) -> Fitted:
        """Return what is written for a value; text that is no UTF-8 comes with surrogates. Raises UnfitValueError."""
        if value is None:
            return self._nothing()
        if self._takes_any_text and type(value) is str and value.isascii() and "\0" not in value:
            return Fitted(value, value)
        return self._fitter(value)

    @cached_property
    def _takes_any_text(self) -> bool:
        """Say whether a text is written and compared as it is, as most are; that is said in a third of the time."""
        column = self.column
        is_plain = column.kind is Kind.TEXT and column.length is None and column.type not in _PADDED
        return is_plain and not self.is_time and not self.is_told_by_server

    @cached_property
    def _fitter(self) -> Callable[[object], Fitted]:
        if self.is_time and self.column.kind in _MOMENTS:
            return self._moment
        if self.is_time and self.column.kind in _SECONDS:
            return self._seconds
        return self._time_text if self._is_text_time else self._plain

    @cached_property
    def _is_text_time(self) -> bool:
        return self.is_time and self.column.kind is Kind.TEXT

    def _nothing(self) -> Fitted:
        if not self.column.not_null or (self.column.default is not None and not self.is_key):
            return _NULL
        if self.is_key or not self.may_be_empty or self.column.kind not in _EMPTY:
            raise UnfitValueError(f"NULL in {self.name}, where the server takes none")
        return self._told(_EMPTY[self.column.kind])

    def _told(self, sent: str) -> Fitted:
        return Fitted(sent, None if self.is_told_by_server else sent)

    def _plain(self, value: object) -> Fitted:
        kind = self.column.kind
        if kind is Kind.BYTES:
            raw = value if isinstance(value, bytes) else self._text(value).encode()
            return self._told(f"\\x{raw.hex()}")
        text = self._text(value)
        if kind is Kind.TEXT:
            return self._room(text)
        if kind is Kind.INTEGER:
            return self._told(str(self._whole_number(text)))
        if kind in _SECONDS:
            return self._told(self._number(text))
        if kind is Kind.ADDRESS:
            return self._told(self._address(text))
        return self._told(text)

    def _text(self, value: object) -> str:
        """Return a value as text, as SQLite itself would."""
        if isinstance(value, bytes):
            try:
                value = value.decode()
            except UnicodeDecodeError:
                raise UnfitValueError(f"bytes in {self.name} that are no text") from None
        text = value if isinstance(value, str) else str(value)
        if "\0" in text:
            raise UnfitValueError(f"a NUL in {self.name}, which PostgreSQL can't hold")
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            raise UnfitValueError(f"text in {self.name} that is no UTF-8")
        return text

    def _room(self, text: str) -> Fitted:
        """Cut a name that is too long, and refuse other texts that are."""
        column = self.column
        if column.type in _PADDED:
            text = text.rstrip(" ")  # which mean nothing there
        is_cut = column.length is not None and len(text) > column.length
        if is_cut and self.name not in _CUT:
            raise UnfitValueError(f"more characters in {self.name} than the server's {column.length}")
        sent = text[: column.length] if is_cut else text
        if self.is_told_by_server:
            return Fitted(sent, None, is_cut)
        return Fitted(sent, _time_told(sent) if self.is_time else sent, is_cut)

    def _whole_number(self, text: str) -> int:
        if self.name == "asn" and (system := _AUTONOMOUS_SYSTEM.fullmatch(text)):
            text = system[1]
        text = text.removesuffix(".0")
        if not _WHOLE_NUMBER.fullmatch(text):
            raise UnfitValueError(f"no whole number in {self.name}, as the server's has to be")
        number = int(text)
        largest = _LARGEST.get(self.column.type, 2**63)
        if not -largest <= number < largest:
            raise UnfitValueError(f"a number in {self.name} that is too large for the server's {self.column.type}")
        return number

    def _number(self, text: str) -> str:
        if self.name == "asn" and (system := _AUTONOMOUS_SYSTEM.fullmatch(text)):
            text = system[1]
        if not _NUMBER.fullmatch(text):
            raise UnfitValueError(f"no number in {self.name}, as the server's has to be")
        return text

    def _address(self, text: str) -> str:
        try:
            ipaddress.ip_interface(text)
        except ValueError:
            raise UnfitValueError(f"no address in {self.name}, as the server's has to be") from None
        if "%" in text:
            raise UnfitValueError(f"an address with a zone in {self.name}, which the server's can't hold")
        return text

    def _micros(self, value: object) -> int:
        micros = times.read(value)
        if micros is None:
            raise UnfitValueError(f"no readable time in {self.name}, as the server's has to be")
        return micros

    def _moment(self, value: object) -> Fitted:
        micros = self._micros(value)
        try:
            moment = _EPOCH + timedelta(microseconds=micros)
        except OverflowError:
            raise UnfitValueError(f"a time in {self.name} that is in no year from 1 to 9999") from None
        text = moment.isoformat(sep=" ")
        sent = text.removesuffix("+00:00") if self.column.kind is Kind.NAIVE else text
        return Fitted(sent, None if self.is_told_by_server else str(micros))

    def _seconds(self, value: object) -> Fitted:
        micros = self._micros(value)
        if not times.EARLIEST <= micros // times.MICROSECONDS < times.END:
            raise UnfitValueError(f"a time in {self.name} that is not of 1990 to 2200, as numbers there have to be")
        seconds, fraction = divmod(micros, times.MICROSECONDS)
        if self.column.kind is Kind.INTEGER:
            return self._told(str(self._whole_number(str(seconds))))
        if self.column.kind is Kind.REAL:
            return self._told(repr(micros / times.MICROSECONDS))
        return self._told(f"{seconds}.{fraction:06}" if fraction else str(seconds))

    def _time_text(self, value: object) -> Fitted:
        """Write a time as the column has its times already; where it has none, as SQLite has it."""
        text = self._text(value)
        if self.form is not None and (micros := times.read(value)) is not None and time_forms.of(value) != self.form:
            text = in_form(self.form, micros) or text
        return self._room(text)


@lru_cache(DISTINCT)
def _time_told(text: str) -> str:
    micros = times.read(text)
    return f"{_UNREADABLE}{text}" if micros is None else str(micros)


def in_form(form: TimeForm, micros: int) -> str | None:
    """Write microseconds since the epoch in a form, exactly: with more digits than the form has, where it takes them.

    None where that can't be read again as the same moment.
    """
    seconds, fraction = divmod(micros, times.MICROSECONDS)
    try:
        written = str(form.write(seconds))
        if fraction and form.kind is TimeKind.DATE:
            digits = max(form.fraction, 6 if fraction % _THOUSAND else 3)
            day_and_time = to_text(seconds)[:-1].replace("T", form.separator)
            written = f"{day_and_time}.{fraction:06}"[: len(day_and_time) + 1 + digits] + form.ending
        elif fraction:
            written = f"{seconds}.{fraction:06}"
    except (ValueError, OverflowError, OSError):
        return None
    return written if times.read(written) == micros else None
