"""MMDB records as JSON values: a record may be of any size and shape, and hold values that JSON has no form for."""

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

DEEPEST: Final = 16  # maps in maps
MOST_VALUES: Final = 500  # in one record; MaxMind's largest have some hundred
LONGEST_TEXT: Final = 200  # characters
CUT: Final = "…"  # stands for what is left out
_LARGEST_INT: Final = 2**63 - 1  # above it many JSON readers lose digits; MMDBs have unsigned 128-bit integers


def plain(value: object) -> Any:
    """Return a copy with bytes as hexadecimal, NaN, infinities and large integers as text, and oversized parts cut."""
    return _plain(value, iter(range(MOST_VALUES)), DEEPEST)


def _plain(value: object, left: Iterator[int], depth: int) -> Any:
    if isinstance(value, dict | list):
        if not depth:
            return CUT
        if isinstance(value, list):
            return [_plain(item, left, depth - 1) for item, _ in zip(value, left, strict=False)]
        pairs = zip(value.items(), left, strict=False)
        return {_text(str(key)): _plain(item, left, depth - 1) for (key, item), _ in pairs}
    return _scalar(value)


def _scalar(value: object) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _LARGEST_INT else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes | bytearray):
        return _text(bytes(islice(value, LONGEST_TEXT)).hex())
    return _text(str(value))


def _text(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + CUT
