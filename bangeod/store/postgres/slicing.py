"""How large a slice is on a server: a statement is a transaction, and has its rows locked until it ends.

Whoever wants one of them waits for no longer than that. Nobody else waits at all, so there are no pauses, as a lock on
the whole database asks for.
"""

from typing import Final

from bangeod.store.slice_size import SliceSize

LARGEST: Final = 2_000  # rows
AIM: Final = 0.5  # of the longest time allowed: one statement may take longer than the one before


def slice_size(longest: float, *, largest: int = LARGEST) -> SliceSize:
    """Return what chooses slices that hardly ever have rows locked for more than ``longest`` seconds."""
    return SliceSize(longest * AIM, largest=largest)
