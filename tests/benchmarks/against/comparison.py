"""Whether a figure of one build is worse than another's by more than noise, and the table that says so.

The builds are measured in turns, and the figures of one turn lie minutes apart at most: so it is their ratio, turn by
turn, that is looked at, and a machine that becomes slower on the way does not count against either. By how much the
turns' ratios differ from one another is noise. Their median says something only where it is farther from 1 than what
such noise brings about by itself once in a hundred times; the more turns, the less that is.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tests.benchmarks.report import Section

TOLERANCE = 0.03  # as a part: a smaller difference is not worth a word, even if turn after turn has it
# Of so many turns: how many times the spread of their ratios (highest by lowest, as logarithms) the median ratio is
# from 1 in one of a hundred cases where only chance differs. Found by drawing normally distributed ones.
SPREADS = {3: 2.1, 4: 1.05, 5: 0.75, 6: 0.6, 7: 0.5, 9: 0.38, 11: 0.32, 15: 0.25}
FEWEST_TURNS = min(SPREADS)  # of fewer, nobody can say what is noise


class Verdict(StrEnum):
    """What a comparison says."""

    BETTER = "better"
    WITHIN_NOISE = "within noise"
    WORSE = "WORSE"
    UNKNOWN = "too few turns"


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that is measured of both builds."""

    name: str
    written: Callable[[float], str]
    more_is_better: bool = False
    tolerance: float = TOLERANCE


Figures = Mapping[Figure, float]  # of one build in one turn; one that there is not is missing


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure of the second build as so many times the first one's."""

    ratio: float  # the median of the turns' ones
    lowest: float
    highest: float
    verdict: Verdict


def compare(
    first: Sequence[float], second: Sequence[float], *, more_is_better: bool = False, tolerance: float = TOLERANCE
) -> Comparison | None:
    """Compare what was measured in the same turns; None where something is not above 0, and no ratio says anything."""
    if not first or len(first) != len(second) or min(*first, *second) <= 0:
        return None
    ratios = [after / before for before, after in zip(first, second, strict=True)]
    ratio = math.exp(statistics.median(map(math.log, ratios)))  # so that it is the same the other way round
    if len(ratios) < FEWEST_TURNS:
        verdict = Verdict.UNKNOWN
    elif abs(math.log(ratio)) <= max(_noise(ratios), math.log(1 + tolerance)):
        verdict = Verdict.WITHIN_NOISE
    else:
        verdict = Verdict.BETTER if (ratio > 1) == more_is_better else Verdict.WORSE
    return Comparison(ratio, min(ratios), max(ratios), verdict)


def _noise(ratios: Sequence[float]) -> float:
    """Return how far from 1 a median ratio may be, as a logarithm, and say nothing."""
    times = SPREADS[max(turns for turns in SPREADS if turns <= len(ratios))]
    return times * math.log(max(ratios) / min(ratios))


# --- the tables ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Measured:
    """The turns of one trial."""

    title: str
    first: Sequence[Figures]
    second: Sequence[Figures]
    notes: Sequence[str] = ()

    def compared(self) -> dict[Figure, Comparison | None]:
        """Return what is to be said of each figure."""
        figures = dict.fromkeys(figure for turn in (*self.first, *self.second) for figure in turn)
        return {
            figure: compare(
                _of(figure, self.first),
                _of(figure, self.second),
                more_is_better=figure.more_is_better,
                tolerance=figure.tolerance,
            )
            for figure in figures
        }

    def section(self, names: tuple[str, str]) -> Section:
        """Lay them out; ``names`` are those of the builds."""
        both = (self.first, self.second)
        rows = [
            [figure.name, *(_median(figure, _of(figure, turns)) for turns in both), *_cells(found)]
            for figure, found in self.compared().items()
        ]
        raw = {
            name: [{figure.name: value for figure, value in turn.items()} for turn in turns]
            for name, turns in zip(names, both, strict=True)
        }
        return Section(self.title, ("", *names, "ratio", "from", "to", ""), rows, self.notes, raw)


def _of(figure: Figure, turns: Sequence[Figures]) -> list[float]:
    return [turn[figure] for turn in turns if figure in turn]


def _median(figure: Figure, turns: Sequence[float]) -> str:
    return figure.written(statistics.median(turns)) if turns else "none"


def _cells(found: Comparison | None) -> list[str]:
    if found is None:
        return ["", "", "", ""]
    return [*(f"{ratio:.2f} x" for ratio in (found.ratio, found.lowest, found.highest)), found.verdict]


def summary(measured: Sequence[Measured]) -> Section:
    """Name what is worse, and what is better."""
    rows = [
        [f"{one.title}: {figure.name}", f"{found.ratio:.2f} x", found.verdict]
        for one in measured
        for figure, found in one.compared().items()
        if found and found.verdict in (Verdict.WORSE, Verdict.BETTER)
    ]
    turns = min(len(one.first) for one in measured)
    if turns < FEWEST_TURNS:
        rows = [[f"not to be said of fewer than {FEWEST_TURNS} turns", "", ""]]
    notes = [
        f"ratio: second build by first, the median of {turns} turns' ratios, which go from the lowest to the highest",
        f"named where it is off by {TOLERANCE * 100:g} % (memory: 1 %), and by more than chance does once in a hundred",
    ]
    return Section("different by more than noise", ("", "ratio", ""), rows or [["nothing", "", ""]], notes)
