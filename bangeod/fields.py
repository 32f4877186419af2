"""Cleaning of single fields of foreign data: valid values are normalised, all others become None.

Nothing here raises, whatever the value is.
"""

import re
from typing import Final

from bangeod import countries

_CODE_LENGTH: Final = 2  # ISO 3166-1 alpha-2
_MAX_TEXT: Final = 200  # characters; longer names are cut: no country or organisation needs more
_MAX_AS_NUMBER: Final = 2**32 - 1  # RFC 6793; 0 is reserved (RFC 7607)
_AS_NUMBER: Final = re.compile(r"(?:AS)?([0-9]{1,10})", re.IGNORECASE | re.ASCII)


def country_code(value: object) -> str | None:
    """Return an ISO 3166-1 alpha-2 code in upper case; None for anything else (``ZZ``, ``--``, ``EU``)."""
    if not isinstance(value, str) or len(value) != _CODE_LENGTH or not value.isascii():
        return None
    code = value.upper()
    return code if countries.is_code(code) else None


def name(value: object) -> str | None:
    """Return a name on one line, without control characters and lone surrogates; None if nothing is left.

    A text without a letter or digit, such as the ``-`` of some databases, means that the name is not known.
    """
    if not isinstance(value, str):
        return None
    text = value[:_MAX_TEXT]
    if not text.isprintable():
        text = "".join(character if character.isprintable() else " " for character in text)
    text = " ".join(text.split())
    return text if any(map(str.isalnum, text)) else None


def as_number(value: object) -> str | None:
    """Return ``AS15169`` for 15169, ``15169`` and ``as15169``; None for anything else."""
    if isinstance(value, str):
        match = _AS_NUMBER.fullmatch(value)
        number = int(match[1]) if match else 0
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        return None
    return f"AS{number}" if 0 < number <= _MAX_AS_NUMBER else None


def autonomous_system(value: object) -> tuple[str | None, str | None]:
    """Split ``AS15169 Google LLC`` into number and name; both are None without a number, the name may be missing."""
    if not isinstance(value, str):
        return as_number(value), None
    first, _, rest = value.strip().partition(" ")
    number = as_number(first)
    return (number, name(rest)) if number else (None, None)
