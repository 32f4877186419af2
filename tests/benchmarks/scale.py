"""How large the benchmarks' inputs are, and how often each is measured."""

from dataclasses import dataclass

QUICK_DIVISOR = 20


@dataclass(frozen=True, slots=True)
class Scale:
    """The full sizes and three runs, or a twentieth and one run: enough to see that everything works."""

    quick: bool = False
    wanted_runs: int | None = None  # instead of those

    @property
    def runs(self) -> int:
        """Return how many runs the medians are of."""
        return self.wanted_runs or (1 if self.quick else 3)

    def of(self, size: int) -> int:
        """Return a size at this scale."""
        return size // QUICK_DIVISOR if self.quick else size
