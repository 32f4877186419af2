"""Records of MaxMind's own files as geoip2's models: what each field is called and is for is in geoip2's documentation.

Not imported by the daemon: geoip2 takes some megabytes, and the hot path is on raw records.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from geoip2 import models

_BRANDS: Final = "GeoIP2-", "GeoLite2-", "GeoIP-"
# By what the type of the file is after the brand, the longest first, as geoip2's reader tells them apart: regional
# files have types like GeoIP2-City-North-America.
_PLACES: Final = {
    "Precision-Enterprise": models.Enterprise,
    "Enterprise": models.Enterprise,
    "Country": models.Country,
    "City": models.City,
}
_FLAT: Final = {
    "Anonymous-Plus": models.AnonymousPlus,
    "Anonymous-IP": models.AnonymousIP,
    "Connection-Type": models.ConnectionType,
    "Domain": models.Domain,
    "ASN": models.ASN,
    "ISP": models.ISP,
}


class Typed(NamedTuple):
    """A record, typed."""

    model: str  # geoip2's class
    fields: Mapping[str, Any]  # those that are there; what is false is not


def typed(database_type: str, ip: str, prefix_length: int | None, record: object) -> Typed | None:
    """Return a record as the model of its file's type; None where that is not MaxMind's, or the record not of it."""
    brand = next((brand for brand in _BRANDS if database_type.startswith(brand)), None)
    if brand is None or not isinstance(record, dict):
        return None
    product = database_type.removeprefix(brand)
    # A copy: geoip2 writes into the traits. Not the names that its models have for what it adds itself.
    values = {key: dict(value) if isinstance(value, dict) else value for key, value in record.items()}
    added = {"ip_address": ip, "prefix_len": prefix_length}
    for key in added:
        values.pop(key, None)
    try:
        for name, place in _PLACES.items():
            if product.startswith(name):
                return _told(place(["en"], **added, **values))
        for name, flat in _FLAT.items():
            if product.startswith(name):
                return _told(flat(**added, **values))
    except Exception:  # noqa: BLE001 - the record may hold anything, and the models check nothing
        return None
    return None


def _told(model: Any) -> Typed:
    return Typed(f"geoip2.models.{type(model).__name__}", model.to_dict())
