"""Values of a row: what its columns say of a place, whatever they hold, and what an entry changes about them.

Another web app may keep the AS number as a number, a country in lower case or as bytes, or a word of its own for "no
country". What comes out of here is always of model.Geo's types.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from bangeod import countries, fields
from bangeod.model import DirtyEntry, Geo

LONGEST_NAME: Final = 200  # characters; a longer text is no name of a country, and does not count as one
DISTINCT: Final = 65_536  # places that are kept as they were read; a million rows have some ten thousand of them
_ALPHA_3: Final = 3  # letters
_NOTHING: Final = frozenset(
    {"unknown", "(unknown)", "n/a", "none", "null", "(null)", "nil", "undefined", "not available", "not found"}
)


class PlaceChange(NamedTuple):
    """What an entry changes about a row's place."""

    columns: Mapping[str, str | None]  # the new values, as Geo has them; those that are not in it stay
    resolved: bool = False  # the place is a new one, and so is the time at which it was found


_NO_CHANGE: Final = PlaceChange({})


@lru_cache(DISTINCT)
def read(country_code: object, country_name: object, asn: object, org: object) -> Geo:
    """Return what the four columns of a row say; takes whatever SQLite hands out, and never raises.

    No country is what is neither an ISO 3166-1 code nor ``XK``: XX, ZZ, T1, ``-``, ``Unknown``, a number. Without one
    there is no name of one. ``AS15169 Google LLC`` in ``asn`` says the organisation too where ``org`` does not.
    """
    code = _code(country_code)
    number, holder = _autonomous_system(asn)
    return Geo(code, _name(country_name) if code else None, number, _name(org) or holder)


def country(country_code: object, country_name: object) -> tuple[str, str] | None:
    """Return code and name of a row's country; None where it has none, or no name that anybody would give it."""
    text = _text(country_name)
    if text is None or len(text) > LONGEST_NAME:
        return None
    code, name, _, _ = read(country_code, country_name, None, None)
    return (code, name) if code and name else None


def change(row: Sequence[object], entry: DirtyEntry) -> PlaceChange:
    """Say what becomes of a row whose four columns hold this; see Store.write for the rules."""
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
    """Fill in what is not known of the AS: an organisation only beside the number that it belongs to.

    Without a country, it is replaced where it is what the entry ``replaces``.
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
    """Return what is held, with an AS that is no number but says something: it is not known, and not overwritten."""
    return held._replace(asn=_name(row[2])) if held.asn is None and row[2] not in (0, "0", "AS0") else held


def _essence(geo: Geo) -> tuple[str | None, ...]:
    """Return what a row must still hold to be replaced: the country's name follows from its code."""
    return geo.country_code, geo.asn or None, geo.org or None


def _text(value: object) -> str | None:
    """Return what a column holds as text on one line; None where that is nothing."""
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
    name = fields.name(_text(value))
    return None if name is None or name.casefold() in _NOTHING else name


def _autonomous_system(value: object) -> tuple[str | None, str | None]:
    text = _text(value)
    number, holder = fields.autonomous_system(text.removesuffix(".0") if text else None)
    return number, _name(holder)
