"""Which rows go when the table has more than its cap: those seen longest ago, protected ones last."""

from array import array
from bisect import bisect_left
from typing import NamedTuple

NONE_GOES = -(2**63)


class Cut(NamedTuple):
    """Rows earlier than ``earlier_than`` go, and ``ties`` of the rows with exactly that time."""

    earlier_than: int  # microseconds since the epoch
    ties: int


def cut(times: "array[int]", count: int) -> Cut:
    """Find the cut that takes the earliest ``count`` of these times; ``count`` is at most their number."""
    if count <= 0:
        return Cut(NONE_GOES, 0)
    ordered = sorted(times)
    limit = ordered[count - 1]
    return Cut(limit, count - bisect_left(ordered, limit))


class Overflow:
    """Chooses the rows that go: first ``add`` every row, then ``decide`` how many go, then ask ``takes`` for each."""

    def __init__(self) -> None:
        self._free: array[int] = array("q")
        self._kept: array[int] = array("q")
        self._cuts: dict[bool, Cut] = {}
        self.rows = 0  # rows added, including those whose time can't be read
        self.going = 0

    def add(self, micros: int | None, *, kept: bool) -> None:
        """Add a row; a row whose time can't be read counts, and never goes."""
        self.rows += 1
        if micros is not None:
            (self._kept if kept else self._free).append(micros)

    def decide(self, max_rows: int) -> int:
        """Choose the cuts; return the time, in microseconds, at or after which no row goes."""
        excess = max(0, self.rows - max_rows)
        of_free = min(excess, len(self._free))
        of_kept = min(excess - of_free, len(self._kept))
        self.going = of_free + of_kept
        self._cuts = {False: cut(self._free, of_free), True: cut(self._kept, of_kept)}
        return max(line.earlier_than for line in self._cuts.values()) + 1

    def takes(self, micros: int, *, kept: bool) -> bool:
        """Say whether this row goes. Ask once a row: of equal times only as many go as needed."""
        line = self._cuts[kept]
        if micros != line.earlier_than:
            return micros < line.earlier_than
        if not line.ties:
            return False
        self._cuts[kept] = Cut(line.earlier_than, line.ties - 1)
        return True
