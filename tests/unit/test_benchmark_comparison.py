"""The judgement over two builds' figures: what is worse, what is better, and what is only noise."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.against.comparison import Comparison, Figure, Measured, Verdict, compare, summary
from tests.benchmarks.report import milliseconds

TIME = Figure("to READY", milliseconds)
RATE = Figure("GETs", lambda number: f"{number:.0f}/s", more_is_better=True)
TURNS = st.lists(st.tuples(st.floats(0.01, 1000), st.floats(0.01, 1000)), min_size=1, max_size=12)
OPPOSITE = {Verdict.WORSE: Verdict.BETTER, Verdict.BETTER: Verdict.WORSE}


def compared(first: list[float], second: list[float], *, more_is_better: bool = False) -> Comparison:
    found = compare(first, second, more_is_better=more_is_better)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        ([1.0, 1.0, 1.0], [1.2, 1.21, 1.19], Verdict.WORSE),
        ([1.0, 1.0, 1.0], [0.8, 0.81, 0.79], Verdict.BETTER),
        ([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], Verdict.WITHIN_NOISE),
        ([1.0, 1.0, 1.0], [1.02, 1.02, 1.02], Verdict.WITHIN_NOISE),  # not worth a word
        ([1.0, 1.0, 1.0], [1.2, 1.4, 1.05], Verdict.WITHIN_NOISE),  # nobody knows
        ([1.0, 1.0, 1.0], [0.9, 1.2, 1.3], Verdict.WITHIN_NOISE),
        ([1.0, 2.0, 4.0], [1.2, 2.4, 4.8], Verdict.WORSE),  # the machine became slower, for both
        ([1.0, 1.0], [9.0, 9.0], Verdict.UNKNOWN),
    ],
)
def test_a_median_says_something_where_it_is_off_by_more_than_the_turns_differ(
    first: list[float], second: list[float], verdict: Verdict
) -> None:
    assert compared(first, second).verdict is verdict


def test_more_turns_show_a_smaller_difference() -> None:
    turn = [1.2, 1.25, 1.15, 1.3, 1.1]
    assert compared([1.0] * 3, turn[:3]).verdict is Verdict.WORSE
    assert compared([1.0] * 3, turn[2:]).verdict is Verdict.WITHIN_NOISE
    assert compared([1.0] * 5, turn).verdict is Verdict.WORSE


def test_a_figure_has_a_tolerance_of_its_own() -> None:
    memory = Figure("idle memory", lambda size: f"{size:.0f} B", tolerance=0.01)
    measured = Measured("start", [{TIME: 1.0, memory: 1.0}] * 3, [{TIME: 1.02, memory: 1.02}] * 3)
    found = [row[-1] for row in measured.section(("a", "b")).rows]
    assert found == ["within noise", "WORSE"]


def test_of_a_rate_more_is_better() -> None:
    assert compared([100.0] * 3, [150.0] * 3, more_is_better=True).verdict is Verdict.BETTER
    assert compared([150.0] * 3, [100.0] * 3, more_is_better=True).verdict is Verdict.WORSE


def test_the_ratio_is_the_median_of_the_turns_and_has_their_bounds() -> None:
    found = compared([1.0, 2.0, 4.0], [1.5, 2.0, 8.0])
    assert (round(found.ratio, 9), found.lowest, found.highest) == (1.5, 1.0, 2.0)


@pytest.mark.parametrize(("first", "second"), [([], []), ([1.0], [0.0]), ([0.0], [1.0]), ([-1.0], [1.0]), ([], [1.0])])
def test_where_something_is_missing_or_not_above_zero_there_is_no_ratio(
    first: list[float], second: list[float]
) -> None:
    assert compare(first, second) is None


@given(TURNS)
def test_the_other_way_round_the_ratio_is_the_inverse_and_the_verdict_the_opposite(
    turns: list[tuple[float, float]],
) -> None:
    first, second = ([turn[place] for turn in turns] for place in (0, 1))
    one, other = compared(first, second), compared(second, first)
    assert math.isclose(one.ratio * other.ratio, 1)
    assert math.isclose(one.lowest * other.highest, 1)
    if math.isclose(abs(math.log(one.ratio)), 0, abs_tol=1e-9):
        return
    assert other.verdict is OPPOSITE.get(one.verdict, one.verdict)


@given(TURNS, st.randoms(use_true_random=False))
def test_the_order_of_the_turns_does_not_matter(turns: list[tuple[float, float]], chance: random.Random) -> None:
    mixed = chance.sample(turns, len(turns))
    assert compared(*map(list, zip(*turns, strict=True))) == compared(*map(list, zip(*mixed, strict=True)))


@pytest.mark.parametrize("turns", [3, 4, 5, 6, 7, 8, 9, 15, 20])
def test_equal_builds_are_seldom_told_apart(turns: int) -> None:
    chance = random.Random(turns)
    found = [compared(*([chance.lognormvariate(0, 0.2) for _ in range(turns)] for _ in range(2))) for _ in range(3_000)]
    assert sum(one.verdict is Verdict.WORSE for one in found) <= 0.015 * len(found)


def test_the_table_has_both_medians_the_ratio_its_bounds_and_the_verdict() -> None:
    measured = Measured("start", [{TIME: 1.0}] * 3, [{TIME: 1.5}] * 3, ["a note"])
    (row,) = measured.section(("7efdbf1", "working tree")).rows
    assert row == ["to READY", "1,000.0 ms", "1,500.0 ms", "1.50 x", "1.50 x", "1.50 x", "WORSE"]


def test_a_figure_that_one_build_has_not_is_shown_without_a_ratio() -> None:
    measured = Measured("start", [{TIME: 1.0}] * 3, [{TIME: 1.0, RATE: 5.0}] * 3)
    assert measured.section(("a", "b")).rows[1] == ["GETs", "none", "5/s", "", "", "", ""]


def test_the_figures_of_each_turn_are_kept() -> None:
    measured = Measured("start", [{TIME: 1.0}, {TIME: 2.0}], [{TIME: 3.0}, {TIME: 4.0}])
    assert measured.section(("a", "b")).figures == {
        "a": [{"to READY": 1.0}, {"to READY": 2.0}],
        "b": [{"to READY": 3.0}, {"to READY": 4.0}],
    }


def test_the_summary_names_what_is_different() -> None:
    measured = Measured("start", [{TIME: 1.0, RATE: 5.0}] * 3, [{TIME: 1.5, RATE: 5.0}] * 3)
    assert summary([measured]).rows == [["start: to READY", "1.50 x", "WORSE"]]


def test_the_summary_says_so_where_nothing_is_different() -> None:
    assert summary([Measured("start", [{TIME: 1.0}] * 3, [{TIME: 1.0}] * 3)]).rows[0][0] == "nothing"


def test_the_summary_says_so_where_the_turns_are_too_few() -> None:
    assert "fewer than 3 turns" in summary([Measured("start", [{TIME: 1.0}], [{TIME: 9.0}])]).rows[0][0]
