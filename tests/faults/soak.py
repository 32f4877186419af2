"""How often a fault is tried: few times by default, many with ``BANGEOD_TESTS_SOAK=1``."""

import os

SOAK = os.environ.get("BANGEOD_TESTS_SOAK") == "1"


def times(few: int, many: int) -> int:
    """Return ``few``, or ``many`` where there is time for it."""
    return many if SOAK else few
