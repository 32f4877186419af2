"""What a benchmark hands back: tables to print, and the same figures for a file."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Section:
    """One table of the output; ``figures`` are its numbers with their names, for ``--json``."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    figures: Mapping[str, object] = field(default_factory=dict)

    def text(self) -> str:
        """Lay the table out for a terminal: the first column left, the others right."""
        lines = [self.heads, *self.rows]
        widths = [max(len(line[place]) for line in lines) for place in range(len(self.heads))]
        shown = [_line(line, widths) for line in lines]
        rule = "-" * max(map(len, shown))
        return "\n".join(["", self.title, rule, shown[0], rule, *shown[1:], *(f"  {note}" for note in self.notes)])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]).rstrip()


def medians(runs: Iterable[Mapping[K, float]]) -> dict[K, float]:
    """Return the median of each figure over runs that all have the same figures."""
    collected = list(runs)
    return {name: statistics.median(run[name] for run in collected) for name in collected[0]}


def milliseconds(seconds: float) -> str:
    """Write a duration in milliseconds."""
    return f"{seconds * 1000:,.1f} ms"


def per_second(rows: int, seconds: float) -> str:
    """Write a rate."""
    return f"{rows / seconds:,.0f}/s"


def times(ratio: float) -> str:
    """Write how many times one figure is another."""
    return f"{ratio:.2f} x"


def verdict(bar: str, *, reached: bool) -> tuple[str, str]:
    """Write what is to be reached, and whether it is."""
    return bar, "reached" if reached else "MISSED"
