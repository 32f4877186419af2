"""How many rows a statement changes, by the time that earlier ones took. Policy: measured times are passed in.

A statement is a transaction, and has its rows locked until it ends: whoever wants one of them waits for no longer than
that. Nobody else waits at all, so there are no pauses, as a lock on the whole database asks for.
"""

from typing import Final

FIRST: Final = 50  # rows
SMALLEST: Final = 1
LARGEST: Final = 2_000
GROWTH: Final = 2.0  # a slice is at most this much larger than the last one
AIM: Final = 0.5  # of the longest time allowed: one statement may take longer than the one before
SMOOTHING: Final = 0.5  # the weight of the newest measurement
SHORTEST: Final = 1e-6  # seconds that a slice is taken to last at least


class Slicer:
    """Chooses the number of rows of each slice so that it hardly ever locks them for more than ``longest`` seconds."""

    def __init__(self, longest: float, first: int = FIRST) -> None:
        self._target = longest * AIM
        self._per_row: float | None = None  # seconds
        self._size = first

    @property
    def size(self) -> int:
        return self._size

    def measured(self, rows: int, took: float) -> None:
        """Take into account that a statement worked for ``took`` seconds on ``rows`` rows."""
        if rows <= 0:
            return
        newest = max(took, SHORTEST) / rows
        known = self._per_row
        self._per_row = newest if known is None else known + SMOOTHING * (newest - known)
        # One slice that took far too long matters more than the average: the size follows the slower of the two.
        wanted = self._target / max(self._per_row, newest)
        self._size = int(max(SMALLEST, min(wanted, self._size * GROWTH, LARGEST)))

    def refused(self, rows: int) -> None:
        """Take into account that one of ``rows`` rows was refused, and nothing done: it is looked for by halves."""
        self._size = max(SMALLEST, min(self._size, rows // 2))
