"""Countries: their ISO 3166-1 alpha-2 codes and their names."""

from bangeod.geo.cldr import NAMES


def is_code(text: object) -> bool:
    """Tell whether this is the code of a country, in upper case.

    Geo databases use XK for Kosovo: a code that ISO 3166-1 leaves to its users and therefore does not list.
    """
    return isinstance(text, str) and text in NAMES


def name(code: str) -> str | None:
    """Return the English name of the country with this code; None where there is no such country."""
    return NAMES.get(code)
