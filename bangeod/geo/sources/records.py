"""What a raw record of an MMDB says: MaxMind's nested layouts and the flat ones of IPinfo, DB-IP and ip-location-db.

The record decides, not the file's name or type. A record comes from a file that may be damaged or hostile, so it
may be any Python object; a field of the wrong type or out of range is a field that is not there.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from bangeod.geo import countries
from bangeod.geo.model import UNKNOWN, Geo
from bangeod.geo.sources import fields

# MaxMind's order: where the address is, where its block is registered, whom its users represent (a base abroad).
_NESTED_COUNTRIES: Final = ("country", "registered_country", "represented_country")
_AS_NUMBERS: Final = ("autonomous_system_number", "asn")
_AS_NAMES: Final = ("autonomous_system_organization", "as_name", "as_org", "org", "organization", "isp")
_READ: Final = frozenset(("country_code", "country_name", *_NESTED_COUNTRIES, *_AS_NUMBERS, *_AS_NAMES, "traits"))


def interpret(record: object) -> Geo | None:
    """Return what a record says of its addresses; None where it says nothing that we keep. Never raises."""
    if not isinstance(record, dict):
        return None
    code, country_name = _country(record)
    asn, org = _autonomous_system(record)
    geo = Geo(code, country_name, asn, org)
    return None if geo == UNKNOWN else geo


def essence(record: Mapping[Any, object]) -> tuple[object, ...]:
    """Return what ``interpret`` looks at and nothing else: records of one essence say the same.

    It is the key under which an interpretation is remembered; it can't be hashed where a field is of a wrong type.
    """
    parts: list[object] = []
    for key, value in record.items():
        if key not in _READ:
            continue
        if type(value) is not dict:
            parts += key, value
        elif key == "traits":
            parts += key, essence(value)
        else:
            names = value.get("names")
            parts += key, (value.get("iso_code"), names.get("en") if type(names) is dict else None)
    return tuple(parts)


def _country(record: Mapping[Any, object]) -> tuple[str | None, str | None]:
    for value, name in _countries(record):
        code = fields.country_code(value)
        if code:
            return code, fields.name(name) or countries.name(code)
    return None, None


def _countries(record: Mapping[Any, object]) -> Iterator[tuple[object, object]]:
    """Hand out the pairs of code and name that a record may hold, the one to be believed first."""
    if "country_code" in record:
        # IPinfo Lite has the name under "country"; others have it under "country_name", or no name.
        yield record["country_code"], record.get("country_name") or record.get("country")
    for key in _NESTED_COUNTRIES:
        value = record.get(key)
        if isinstance(value, dict):
            names = value.get("names")
            yield value.get("iso_code"), names.get("en") if isinstance(names, dict) else None
        elif value is not None:
            yield value, record.get("country_name")


def _autonomous_system(record: Mapping[Any, object]) -> tuple[str | None, str | None]:
    """Return number and name from the record itself, else from the ``traits`` of the larger MaxMind files."""
    asn, org = _flat_autonomous_system(record)
    traits = record.get("traits")
    if isinstance(traits, dict) and not (asn and org):
        traits_asn, traits_org = _flat_autonomous_system(traits)
        asn, org = asn or traits_asn, org or traits_org
    return asn, org


def _flat_autonomous_system(record: Mapping[Any, object]) -> tuple[str | None, str | None]:
    asn = org = None
    for key in _AS_NUMBERS:
        if key in record and not asn:
            asn, org = fields.autonomous_system(record[key])
    for key in _AS_NAMES:
        if key in record and not org:
            # IPinfo's older files write number and name into "org".
            number, rest = fields.autonomous_system(record[key])
            asn = asn or number
            org = rest if number else fields.name(record[key])
    return asn, org
