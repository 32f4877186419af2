"""Values of a row: the place that its columns mean, whatever they hold, and what an entry changes about it.

Another web app may keep the AS number as a number, a country in lower case or as bytes, or its own word for "no
country". The results here always have model.Geo's types.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, TypeGuard

from bangeod import countries, fields
from bangeod.model import DirtyEntry, Geo

LONGEST_NAME: Final = 200  # characters; a longer text does not count as a country's name
DISTINCT: Final = 2_048  # places that are kept as they were read, a megabyte; some networks have most of the rows
_ALPHA_3: Final = 3  # letters
_NOTHING: Final = frozenset(
    {"unknown", "(unknown)", "n/a", "none", "null", "(null)", "nil", "undefined", "not available", "not found"}
)


# What needs no cleaning: words with a space between two, and a letter or digit first; an AS number as Geo has it.
_PLAIN: Final = re.compile(r"[A-Za-z0-9][!-~]*(?: [!-~]+)*")
_PLAIN_NUMBER: Final = re.compile(r"AS[1-9][0-9]{0,8}")


class PlaceChange(NamedTuple):
    """What an entry changes about a row's place."""

    columns: Mapping[str, str | None]  # the new values, as in Geo; columns not in it stay
    resolved: bool = False  # the place is new, so its ``cached_at`` is too


_NO_CHANGE: Final = PlaceChange({})


def read_anew(country_code: object, country_name: object, asn: object, org: object) -> Geo:
    """Return the place in the four columns of a row; takes whatever SQLite returns, and never raises.

    Anything that is neither an ISO 3166-1 code nor ``XK`` is no country: XX, ZZ, T1, ``-``, ``Unknown``, a number. Then
    the country has no name either. ``AS15169 Google LLC`` in ``asn`` gives the organisation too if ``org`` does not.
    """
    number, holder = _autonomous_system(asn)
    return Geo(*_country(country_code, country_name), number, _name(org) or holder)


@lru_cache(DISTINCT)
def _country(code: object, name: object) -> tuple[str | None, str | None]:
    known = _code(code)
    return known, _name(name) if known else None


@lru_cache(DISTINCT)
def read(country_code: object, country_name: object, asn: object, org: object) -> Geo:
    """Return what ``read_anew`` does, which is kept: the same values mostly come again."""
    return read_anew(country_code, country_name, asn, org)


def country(country_code: object, country_name: object) -> tuple[str, str] | None:
    """Return code and name of a row's country; None where it has no country, or no usable name."""
    text = _text(country_name)
    if text is None or len(text) > LONGEST_NAME:
        return None
    code, name, _, _ = read(country_code, country_name, None, None)
    return (code, name) if code and name else None


def change(row: Sequence[object], entry: DirtyEntry) -> PlaceChange:
    """Return what an entry changes about a row with these four values; see Store.write for the rules."""
    held, new = read(*row), entry.geo
    if new.country_code is None:
        return _change_autonomous_system(_with_what_can_not_be_read(row, held), entry)
    if entry.replaces is not None and _essence(held) == _essence(entry.replaces):
        return PlaceChange(new._asdict(), resolved=True)
    if held.country_code is None:
        filled = {name: value for name, value in new._asdict().items() if value is not None}
        is_placeholder = row[1] is not None and _name(row[1]) is None
        return PlaceChange({"country_name": None, **filled} if is_placeholder else filled, resolved=True)
    if held.country_code != new.country_code:
        return _NO_CHANGE
    values = zip(Geo._fields, _with_what_can_not_be_read(row, held), new, strict=True)
    return PlaceChange({name: value for name, old, value in values if old is None and value is not None})


def _change_autonomous_system(held: Geo, entry: DirtyEntry) -> PlaceChange:
    """Fill in what is not known of the AS: an organisation only beside its own number.

    In a row without a country, the AS is replaced if it is what the entry ``replaces``.
    """
    new = entry.geo
    if held.country_code is None and entry.replaces is not None and _essence(held) == _essence(entry.replaces):
        return PlaceChange({"asn": new.asn, "org": new.org})
    if held.asn is None and new.asn is not None and held.org in (None, new.org):
        return PlaceChange({"asn": new.asn} | ({"org": new.org} if held.org is None and new.org else {}))
    if held.org is None and new.org is not None and held.asn == new.asn:
        return PlaceChange({"org": new.org})
    return _NO_CHANGE


def _with_what_can_not_be_read(row: Sequence[object], held: Geo) -> Geo:
    """Return what is held, with an unreadable AS that means something kept as text, so that it is not overwritten."""
    return held._replace(asn=_name(row[2])) if held.asn is None and row[2] not in (0, "0", "AS0") else held


def _essence(geo: Geo) -> tuple[str | None, ...]:
    """Return what a row must still hold to be replaced; the country's name is left out, as it follows from the code."""
    return geo.country_code, geo.asn or None, geo.org or None


def _text(value: object) -> str | None:
    """Return a column's value as text, with NULs as spaces; None for NULL."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    elif isinstance(value, float) and value.is_integer():
        value = str(int(value))
    elif isinstance(value, int | float):
        value = str(value)
    return value.replace("\0", " ").strip() if isinstance(value, str) else None


def _code(value: object) -> str | None:
    text = _text(value)
    if text is not None and len(text) == _ALPHA_3:
        return countries.of_alpha_3(text.upper())
    return fields.country_code(text)


def _name(value: object) -> str | None:
    if _is_plain(value):
        return value
    name = fields.name(_text(value))
    return None if name is None or name.casefold() in _NOTHING else name


def _is_plain(value: object) -> TypeGuard[str]:
    """Say whether a value is a name in ASCII that needs no cleaning, as most are; that is said in half the time."""
    return (
        type(value) is str
        and _PLAIN.fullmatch(value) is not None
        and len(value) <= LONGEST_NAME
        and value.casefold() not in _NOTHING
    )


def _autonomous_system(value: object) -> tuple[str | None, str | None]:
    if type(value) is str and _PLAIN_NUMBER.fullmatch(value):
        return value, None
    text = _text(value)
    number, holder = fields.autonomous_system(text.removesuffix(".0") if text else None)
    return number, _name(holder)
