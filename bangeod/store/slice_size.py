"""How many rows to write in one transaction, by the time that earlier ones took. Policy: times are passed in."""

from typing import Final

SMALLEST: Final = 1
FIRST: Final = 50  # rows
GROWTH: Final = 2.0  # a slice is at most this much larger than the last one
SMOOTHING: Final = 0.5  # the weight of the newest measurement
SHORTEST: Final = 1e-6  # seconds that a slice is taken to last at least


class SliceSize:
    """Chooses the number of rows of each slice so that it takes some ``aim`` seconds, and hardly ever much more.

    No slice has more than ``largest`` rows.
    """

    def __init__(self, aim: float, *, largest: int, first: int = FIRST) -> None:
        self._aim = aim
        self._largest = largest
        self._per_row: float | None = None  # seconds
        self._size = first

    @property
    def size(self) -> int:
        return self._size

    def measured(self, rows: int, took: float) -> None:
        """Take into account that a slice of ``rows`` rows took ``took`` seconds."""
        if rows <= 0:
            return
        newest = max(took, SHORTEST) / rows
        known = self._per_row
        self._per_row = newest if known is None else known + SMOOTHING * (newest - known)
        # One slice that took far too long matters more than the average: the size follows the slower of the two.
        wanted = self._aim / max(self._per_row, newest)
        self._size = int(max(SMALLEST, min(wanted, self._size * GROWTH, self._largest)))

    def refused(self, rows: int) -> None:
        """Take into account that one of ``rows`` rows was refused, and nothing done: it is looked for by halves."""
        self._size = max(SMALLEST, min(self._size, rows // 2))
