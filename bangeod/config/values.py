"""The kinds of values in bangeod.toml: how each is read, described and written."""

import ipaddress
import json
import re
from collections.abc import Callable
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

MASK = "********"
UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}  # in seconds; "ms" is allowed too
SOCKET_PATH_BYTES = 107  # the size of sun_path in unix(7), without its closing NUL

_PATH_BYTES = 4095  # PATH_MAX of Linux, without its closing NUL
_SECRET_CHARACTERS = 512
_SHOWN_CHARACTERS = 60
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|[smhd])")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_.])?")
_PRINTABLE = re.compile(r"[!-~]*")


class UnfitValueError(ValueError):
    """A value is not of its kind. A text, if any, names the wrong part."""


class Secret:
    """A text that no repr, log line or error shows; ``reveal()`` returns it."""

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __str__(self) -> str:
        return MASK if self._text else ""

    def __repr__(self) -> str:
        return f"Secret({str(self)!r})"


def describe(raw: object) -> str:
    """Describe a TOML value for an error, in one line at most."""
    match raw:
        case bool():
            shown = "true" if raw else "false"
        case int():
            shown = str(raw) if abs(raw) < 10**18 else "a number of more than 18 digits"
        case str():
            start = raw if len(raw) <= _SHOWN_CHARACTERS else raw[:_SHOWN_CHARACTERS] + "…"
            shown = json.dumps(start, ensure_ascii=not start.isprintable())
        case dict():
            shown = "a table"
        case list():
            shown = "an array"
        case date() | time():
            shown = "a date or a time"
        case _:
            shown = repr(raw)
    return shown


def _as_it_is(value: object) -> object:
    return value


class ValueKind(NamedTuple):
    """A kind of value: how it is described, read and written."""

    expected: str  # what a value of this kind looks like, for people
    parse: Callable[[Any], object]  # from the TOML value to the program's; ValueError if not valid
    write: Callable[[Any], object] = _as_it_is  # the way back
    describe: Callable[[object], str] = describe  # describes what was found instead
    mask: Callable[[Any], object] | None = None  # as ``write``, without what is secret in it

    def read(self, raw: object) -> object:
        """Convert a TOML value to the program's, or raise UnfitValueError."""
        try:
            return self.parse(raw)
        except ValueError as error:
            part = str(error) if isinstance(error, UnfitValueError) else ""
            raise UnfitValueError(f"expected {self.expected}; found {part or self.describe(raw)}") from None


def flag() -> ValueKind:
    """Return the kind of a switch: true or false."""

    def parse(raw: object) -> bool:
        if isinstance(raw, bool):
            return raw
        raise UnfitValueError

    return ValueKind("true or false", parse)


def whole(minimum: int, maximum: int) -> ValueKind:
    """Return the kind of a whole number in a range, both ends included. A boolean is not a number."""

    def parse(raw: object) -> int:
        if isinstance(raw, int) and not isinstance(raw, bool) and minimum <= raw <= maximum:
            return raw
        raise UnfitValueError

    return ValueKind(f"a whole number from {minimum} to {maximum}", parse)


def duration(minimum: float, maximum: float) -> ValueKind:
    """Return the kind of a time span, both ends included: seconds in the program, to the microsecond."""

    def parse(raw: object) -> float:
        seconds: float | None = None
        if isinstance(raw, str) and (match := _DURATION.fullmatch(raw)):
            amount, unit = Decimal(match[1]), match[2]
            seconds = float(amount / 1000 if unit == "ms" else amount * UNITS[unit])
        elif isinstance(raw, int | float) and not isinstance(raw, bool):
            seconds = raw
        # Compared before the conversion to float: an integer may be too large for that. nan is in no range.
        if seconds is not None and minimum <= seconds <= maximum:
            return round(float(seconds), 6)
        raise UnfitValueError

    return ValueKind(
        f'a duration from "{duration_text(minimum)}" to "{duration_text(maximum)}", '
        'as "10ms", "60s", "10m", "6h" or "90d" or as a number of seconds',
        parse,
        duration_text,
    )


def duration_text(seconds: float) -> str:
    """Write a duration so that reading it gives exactly the same value: ``60s``, ``10m``, ``24h``, ``10ms``.

    A unit is used from two of it on: a day is ``24h``, a minute ``60s``.
    """
    exact = Decimal(repr(seconds))
    for unit, size in UNITS.items():
        if exact % size == 0 and (exact >= 2 * size or unit == "s"):
            return f"{int(exact) // size}{unit}"
    thousandths = exact * 1000
    return f"{int(thousandths)}ms" if thousandths % 1 == 0 else f"{exact:f}s"


def choice(*words: str) -> ValueKind:
    """Return the kind of one of a few words."""

    def parse(raw: object) -> str:
        if isinstance(raw, str) and raw in words:
            return raw
        raise UnfitValueError

    *others, last = (f'"{word}"' for word in words)
    return ValueKind(f"{', '.join(others)} or {last}", parse)


def choices(*words: str) -> ValueKind:
    """Return the kind of one or several words of a few; a tuple in the program, a single one is bare in TOML."""

    def parse(raw: object) -> tuple[str, ...]:
        chosen = raw if isinstance(raw, list) else [raw]
        unfit = [word for word in chosen if word not in words]
        if unfit and isinstance(raw, list):
            raise UnfitValueError(f"{describe(unfit[0])} in it")
        if unfit or not chosen:
            raise UnfitValueError
        return tuple(dict.fromkeys(chosen))

    def write(value: object) -> object:
        chosen = [*value] if isinstance(value, tuple) else []
        return chosen[0] if len(chosen) == 1 else chosen

    *others, last = (f'"{word}"' for word in words)
    return ValueKind(f"{', '.join(others)} or {last}, or an array of them", parse, write)


def text(pattern: str, expected: str) -> ValueKind:
    """Return the kind of a text that matches a regular expression as a whole."""

    def parse(raw: object) -> str:
        if isinstance(raw, str) and re.fullmatch(pattern, raw):
            return raw
        raise UnfitValueError

    return ValueKind(expected, parse)


def _parse_path(raw: object, longest: int = _PATH_BYTES) -> Path:
    if isinstance(raw, str) and raw.startswith("/") and "\0" not in raw:
        path = Path(raw)
        if len(str(path).encode()) <= longest:
            return path
    raise UnfitValueError


def path() -> ValueKind:
    """Return the kind of an absolute path. A relative one would depend on where the daemon was started."""
    return ValueKind('an absolute path, such as "/var/lib/bangeod"', _parse_path, str)


def socket_path() -> ValueKind:
    """Return the kind of the absolute path of a Unix socket."""

    def parse(raw: object) -> Path:
        return _parse_path(raw, SOCKET_PATH_BYTES)

    expected = f"an absolute path of at most {SOCKET_PATH_BYTES} bytes (a limit of Unix sockets)"
    return ValueKind(expected, parse, str)


def path_or_none() -> ValueKind:
    """Return the kind of an absolute path or "", which is None in the program."""

    def parse(raw: object) -> Path | None:
        return None if raw == "" else _parse_path(raw)

    return ValueKind('an absolute path, or "" for none', parse, lambda value: str(value or ""))


def paths() -> ValueKind:
    """Return the kind of an array of absolute paths, a tuple in the program."""

    def parse(raw: object) -> tuple[Path, ...]:
        if not isinstance(raw, list):
            raise UnfitValueError
        for element in raw:
            try:
                _parse_path(element)
            except UnfitValueError:
                raise UnfitValueError(f"{describe(element)} in it") from None
        return tuple(Path(element) for element in raw)

    example = '["/var/lib/GeoIP/GeoLite2-Country.mmdb"]'
    return ValueKind(f"an array of absolute paths, such as {example}", parse, lambda value: [*map(str, value)])


def secret() -> ValueKind:
    """Return the kind of a key or password. Its errors don't show it.

    The mask that ``bangeod config show`` prints counts as empty, as it was never the secret itself.
    """

    def parse(raw: object) -> Secret:
        if isinstance(raw, str) and _PRINTABLE.fullmatch(raw) and len(raw) <= _SECRET_CHARACTERS:
            return Secret("" if raw == MASK else raw)
        raise UnfitValueError

    expected = f"at most {_SECRET_CHARACTERS} printable ASCII characters in quotes, without spaces"
    return ValueKind(expected, parse, Secret.reveal, _describe_secretly, str)


def _describe_secretly(raw: object) -> str:
    """Describe a value that may be a secret, or have one in it."""
    return describe(raw) if isinstance(raw, dict | list | bool) else "something else, not shown here"


def database_path() -> ValueKind:
    """Return the kind of the absolute path of a database, or "", which is None, where a url is in its place."""

    def parse(raw: object) -> Path | None:
        return None if raw == "" else _parse_path(raw)

    return ValueKind(path().expected, parse, lambda value: str(value or ""))


def database_url() -> ValueKind:
    """Return the kind of the url of a database, or "", which is None. Its errors show nothing of it."""

    def parse(raw: object) -> object:
        if raw == "":
            return None
        if not isinstance(raw, str):
            raise UnfitValueError
        from bangeod.store.postgres import url as postgres  # noqa: PLC0415 - most configs have none

        try:
            return postgres.parse(raw)
        except ValueError as error:
            raise UnfitValueError(str(error)) from None

    expected = "postgresql://USER@HOST:PORT/DATABASE, perhaps with ?PARAMETER=VALUE&… of libpq's after it"
    return ValueKind(
        expected,
        parse,
        lambda value: "" if value is None else value.text(),
        _describe_secretly,
        lambda value: "" if value is None else value.shown(),
    )


def url() -> ValueKind:
    """Return the kind of a web service's address. Parts that may hold a password are not allowed."""

    def parse(raw: object) -> str:
        if not isinstance(raw, str) or not _PRINTABLE.fullmatch(raw):
            raise UnfitValueError
        if re.search(r"[?@#]", raw):
            raise UnfitValueError("more than that (not shown: it may hold a key)")
        parts = urlsplit(raw)  # ValueError for broken brackets, and from .port if that is out of range
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or parts.port == 0 or "\\" in raw:
            raise UnfitValueError
        if not (_is_address(host) if ":" in host else _HOST.fullmatch(host)):
            raise UnfitValueError
        return raw

    return ValueKind("an http:// or https:// address without user name, query and fragment", parse)


def goes_in_clear(address: str) -> bool:
    """Return whether data sent to a URL can be read on the way: plain http, and not to this machine."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    is_here = host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)
    return parts.scheme == "http" and not is_here


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
