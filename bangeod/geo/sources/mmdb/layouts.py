"""The layouts of MMDB records: MaxMind's nested ones, and the flat ones of other publishers.

The record decides, not the file's name or type. A record comes from a file that may be damaged or hostile, so it
may be any Python object; a field of the wrong type or out of range is a field that is not there.

These layouts are known, each from a published file (the day of its build) or from its publisher's documentation
(doc). ``a.b`` is ``b`` in the map under ``a``. Fields that are not named are not read.

=================================  ==========  ==================================================================
file                               seen        what is taken, and why
=================================  ==========  ==================================================================
GeoLite2 and GeoIP2 Country        2026-01-30  ``country.iso_code``, ``country.names.en``; where there is no
                                               country ``registered_country`` (all of Cloudflare), then
                                               ``represented_country`` (a base abroad)
GeoLite2 and GeoIP2 City           2026-02-04  as Country
GeoLite2 ASN                       2026-02-04  ``autonomous_system_number`` (an integer) and
                                               ``autonomous_system_organization``
GeoIP2 ISP                         2026-02-04  as ASN; for want of an AS's name ``organization``, then ``isp``
GeoIP2 Enterprise                  2026-05-29  as Country; within ``traits`` as ISP
GeoIP2 Anonymous IP                2026-02-04  nothing, it has flags: such a file is refused
GeoIP2 Connection Type             2026-02-04  nothing, it has ``connection_type``: refused
GeoIP2 Domain                      2026-02-04  nothing, it has ``domain``: refused
DB-IP Country Lite, City Lite      doc         as GeoLite2 Country
DB-IP ASN Lite                     doc         as GeoLite2 ASN
DB-IP ISP                          doc         as GeoIP2 Enterprise
ip-location-db country             2026-06-17  ``country_code``, without a name; not one for Cloudflare
ip-location-db iptoasn-country     2026-06-17  ``country_code``; ``AP`` is no country
ip-location-db city                doc         ``country_code``; an unknown text is empty
ip-location-db asn                 doc         as GeoLite2 ASN
IPinfo country (free)              2026-08-04  ``country`` (the code), ``country_name``
IPinfo country ASN (free)          2026-08-04  as country; ``asn`` (``AS15169``) and ``as_name``, empty if unknown
IPinfo Lite, Core, Plus            2026-08-04  ``country_code``, ``country`` (the name), ``asn``, ``as_name``
IPinfo ASN (free)                  2026-08-04  ``asn``, ``name`` (the organisation)
IPinfo ASN                         2026-08-04  as free; not ``country``, where the AS is registered:
                                               ``route`` tells it from others as well, where a name is missing
IPinfo carrier                     2026-07-29  ``cc``, ``carrier``: taken as the organisation, as an ISP is
IPinfo carrier, newer form         2026-07-29  ``country`` (the code), ``name``: beside ``mcc`` it is the carrier
IPinfo location                    2026-08-04  ``country`` (the code); the extended form has ``country_name``
IPinfo location, newer form        2026-08-04  ``country_code``, ``country`` (the name)
IPinfo company                     2026-08-04  ``country``, ``asn``, ``as_name``; not ``name``, the company
IPinfo, older                      doc         ``org``: number and name in one text (``AS15169 Google LLC``)
CIRCL Geo Open country             doc         ``country.iso_code``, without a name
CIRCL Geo Open country ASN         doc         as country; inside it ``country.AutonomousSystemNumber`` (digits
                                               in a text) and ``country.AutonomousSystemOrganization``
ipapi.is location                  2026-07-18  ``countryCode``, ``country`` (the name)
ipapi.is VPN                       2026-07-18  ``countryCode``
ipapi.is ASN                       2026-07-18  ``asn`` (digits in a text), ``org``; not ``country``, where the AS
                                               is registered: ``rir`` tells it from others
=================================  ==========  ==================================================================

Codes are read in upper and lower case. A code not in ISO 3166-1 (``AP``, ``EU``, ``ZZ``, ``AN``, ``--``) is no
country, but ``XK`` is. A missing name is filled in from countries.py.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from bangeod import countries, fields
from bangeod.model import UNKNOWN, Geo

_COUNTRY_CODES: Final = ("country_code", "countryCode", "cc")
# MaxMind's order: where the address is, where its block is registered, whom its users represent (a base abroad).
_NESTED_COUNTRIES: Final = ("country", "registered_country", "represented_country")
_AS_NUMBERS: Final = ("autonomous_system_number", "asn")
_AS_NAMES: Final = ("autonomous_system_organization", "as_name", "as_org", "org", "organization", "isp", "carrier")
_CARRIER: Final = "mcc"  # the mobile country code: a record with one names its carrier
# A record with one of these beside an ``asn`` is about the AS, not its addresses,
_ABOUT_AN_AS: Final = ("name", "rir", "route")
_ABOUT_ADDRESSES: Final = ("as_name", "country_name")  # unless it also has one of these
_CIRCL_NUMBER: Final = "AutonomousSystemNumber"
_CIRCL_NAME: Final = "AutonomousSystemOrganization"
_TRAITS: Final = "traits"
_COUNTRY_KEYS: Final = *_COUNTRY_CODES, *_NESTED_COUNTRIES, "country_name"
_AS_KEYS: Final = *_AS_NUMBERS, *_AS_NAMES, *_ABOUT_AN_AS, _CARRIER, _TRAITS
_READ: Final = frozenset((*_COUNTRY_KEYS, *_AS_KEYS))


def interpret(record: object) -> Geo | None:
    """Return what a record says of its addresses; None where it holds nothing that we keep. Never raises."""
    if not isinstance(record, dict):
        return None
    code, country_name = _country(record)
    asn, org = _autonomous_system(record)
    geo = Geo(code, country_name, asn, org)
    return None if geo == UNKNOWN else geo


def essence(record: Mapping[Any, object]) -> tuple[object, ...]:
    """Return only what ``interpret`` looks at: records with the same essence have the same interpretation.

    Used as the key of remembered interpretations; not hashable where a field is of a wrong type.
    """
    parts: list[object] = []
    for key, value in record.items():
        if key not in _READ:
            continue
        if type(value) is not dict:
            parts += key, value
        elif key == _TRAITS:
            parts += key, essence(value)
        else:
            names = value.get("names")
            english = names.get("en") if type(names) is dict else None
            parts += key, (value.get("iso_code"), english, value.get(_CIRCL_NUMBER), value.get(_CIRCL_NAME))
    return tuple(parts)


def _country(record: Mapping[Any, object]) -> tuple[str | None, str | None]:
    for value, name in _countries(record):
        code = fields.country_code(value)
        if code:
            return code, fields.name(name) or countries.name(code)
    return None, None


def _countries(record: Mapping[Any, object]) -> Iterator[tuple[object, object]]:
    """Yield the pairs of code and name that a record may hold, the most trusted first."""
    of_addresses = not _is_about_an_as(record)
    if of_addresses:
        for key in _COUNTRY_CODES:
            if key in record:
                # IPinfo Lite has the name under "country"; others have it under "country_name", or no name.
                yield record[key], record.get("country_name") or record.get("country")
    for key in _NESTED_COUNTRIES:
        value = record.get(key)
        if isinstance(value, dict):
            names = value.get("names")
            yield value.get("iso_code"), names.get("en") if isinstance(names, dict) else None
        elif value is not None and of_addresses:
            yield value, record.get("country_name")


def _is_about_an_as(record: Mapping[Any, object]) -> bool:
    """Say whether a record describes an AS, whose country is that of its registration, and not addresses."""
    if "asn" not in record or any(key in record for key in _ABOUT_ADDRESSES):
        return False
    return any(key in record for key in _ABOUT_AN_AS)


def _autonomous_system(record: Mapping[Any, object]) -> tuple[str | None, str | None]:
    """Return number and name from the record itself, else from ``traits`` (MaxMind) or ``country`` (CIRCL)."""
    asn, org = _flat_autonomous_system(record)
    if not org and (_is_about_an_as(record) or _CARRIER in record):
        org = fields.name(record.get("name"))
    traits = record.get(_TRAITS)
    if isinstance(traits, dict) and not (asn and org):
        traits_asn, traits_org = _flat_autonomous_system(traits)
        asn, org = asn or traits_asn, org or traits_org
    country = record.get("country")
    if not asn and isinstance(country, dict) and _CIRCL_NUMBER in country:
        asn = fields.as_number(country[_CIRCL_NUMBER])
        org = org or (fields.name(country.get(_CIRCL_NAME)) if asn else None)
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
