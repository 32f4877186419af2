"""Records of MaxMind's own files as geoip2's models, whose documentation explains every field.

Not imported by the daemon: geoip2 takes some megabytes, and the hot path works on raw records.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from geoip2 import models

_BRANDS: Final = "GeoIP2-", "GeoLite2-", "GeoIP-"
# By the file's type without the brand, the longest first, as geoip2's reader distinguishes them: regional
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
    """A record as one of geoip2's models."""

    model: str  # geoip2's class
    fields: Mapping[str, Any]  # only those that are present and not false


def typed(database_type: str, ip: str, prefix_length: int | None, record: object) -> Typed | None:
    """Return a record as the model of its file's type; None if the type is not MaxMind's, or the record doesn't fit."""
    brand = next((brand for brand in _BRANDS if database_type.startswith(brand)), None)
    if brand is None or not isinstance(record, dict):
        return None
    product = database_type.removeprefix(brand)
    # A copy: geoip2 writes into the traits. Without the names that are passed to its models separately.
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
