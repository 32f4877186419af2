"""Countries: their ISO 3166-1 alpha-2 codes and their names, from the package iso3166."""

from typing import Final

from iso3166 import countries_by_alpha2, countries_by_alpha3

# Geo databases use XK for Kosovo: a code that ISO 3166-1 leaves to its users and therefore does not list.
_NAMES: Final = {code: country.apolitical_name for code, country in countries_by_alpha2.items()} | {"XK": "Kosovo"}


def is_code(text: object) -> bool:
    """Tell whether this is the code of a country, in upper case."""
    return isinstance(text, str) and text in _NAMES


def name(code: str) -> str | None:
    """Return the English name of the country with this code; None where there is no such country."""
    return _NAMES.get(code)


def of_alpha_3(text: str) -> str | None:
    """Return the alpha-2 code of a country by its alpha-3 code, in upper case; None where there is none."""
    country = countries_by_alpha3.get(text)
    return country.alpha2 if country else None


def codes() -> tuple[str, ...]:
    """Return all codes of countries."""
    return tuple(_NAMES)
