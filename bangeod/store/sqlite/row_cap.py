"""Which rows go where the table has more than it may: those seen longest ago, protected ones last."""

from array import array
from bisect import bisect_left
from typing import NamedTuple

NONE_GOES = -(2**63)


class Cut(NamedTuple):
    """Rows earlier than ``earlier_than`` go, and ``ties`` of those at that very time."""

    earlier_than: int  # microseconds since the epoch
    ties: int


def cut(times: "array[int]", count: int) -> Cut:
    """Say which ``count`` of these times, no more than there are, are the earliest."""
    if count <= 0:
        return Cut(NONE_GOES, 0)
    ordered = sorted(times)
    limit = ordered[count - 1]
    return Cut(limit, count - bisect_left(ordered, limit))


class Overflow:
    """Chooses rows to go. First every row is told (``add``), then how many must go, then each is asked about."""

    def __init__(self) -> None:
        self._free: array[int] = array("q")
        self._kept: array[int] = array("q")
        self._cuts: dict[bool, Cut] = {}
        self.rows = 0  # that were told, those whose time can't be read included
        self.going = 0

    def add(self, micros: int | None, *, kept: bool) -> None:
        """Count a row in; one whose time can't be read counts, and never goes."""
        self.rows += 1
        if micros is not None:
            (self._kept if kept else self._free).append(micros)

    def decide(self, max_rows: int) -> int:
        """Draw the lines; return the time, in microseconds, at or after which no row goes."""
        excess = max(0, self.rows - max_rows)
        of_free = min(excess, len(self._free))
        of_kept = min(excess - of_free, len(self._kept))
        self.going = of_free + of_kept
        self._cuts = {False: cut(self._free, of_free), True: cut(self._kept, of_kept)}
        return max(line.earlier_than for line in self._cuts.values()) + 1

    def takes(self, micros: int, *, kept: bool) -> bool:
        """Say whether this row goes. Asked once a row: of equal times only as many go as must."""
        line = self._cuts[kept]
        if micros != line.earlier_than:
            return micros < line.earlier_than
        if not line.ties:
            return False
        self._cuts[kept] = Cut(line.earlier_than, line.ties - 1)
        return True
