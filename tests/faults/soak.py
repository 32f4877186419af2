"""How often a fault is tried: few times by default, many with ``BANGEOD_TESTS_SOAK=1``."""

import os
from typing import TypeVar

T = TypeVar("T", int, float)

SOAK = os.environ.get("BANGEOD_TESTS_SOAK") == "1"


def times(few: T, many: T) -> T:
    """Return ``few``, or ``many`` where there is time for it."""
    return many if SOAK else few
