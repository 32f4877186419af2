"""How many rows are written at a time, by measured times."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod.store.slice_size import FIRST, GROWTH, SMALLEST, SliceSize

AIM = 0.0028  # seconds
LARGEST = 350

times = st.floats(0, 60, allow_nan=False)
row_costs = st.floats(1e-7, 1.0)


def settled(per_row: float, slices: int = 50) -> SliceSize:
    """Return the sizes after slices in which each row took as long."""
    sizes = SliceSize(AIM, largest=LARGEST)
    for _ in range(slices):
        sizes.measured(sizes.size, sizes.size * per_row)
    return sizes


def test_the_first_slice_is_small_since_nothing_is_known() -> None:
    assert SliceSize(AIM, largest=LARGEST).size == FIRST


@pytest.mark.parametrize(
    ("per_row", "size"),
    [
        (1e-6, LARGEST),  # more rows would do by the time, but each may be a frame of the log
        (20e-6, 140),
        (100e-6, 28),
        (1e-3, 2),
        (5e-3, 1),
        (1.0, SMALLEST),
    ],
)
def test_the_size_settles_where_a_slice_takes_less_than_the_longest_time(per_row: float, size: int) -> None:
    assert settled(per_row).size == pytest.approx(size, abs=1)


@given(per_row=row_costs)
def test_a_settled_slice_stays_within_the_time_where_a_single_row_does(per_row: float) -> None:
    held = settled(per_row).size * per_row
    assert held <= max(AIM * 1.001, per_row)


@given(measured=st.lists(st.tuples(st.integers(-1, 2 * LARGEST), times)))
def test_the_size_stays_in_bounds_and_at_most_doubles(measured: list[tuple[int, float]]) -> None:
    sizes = SliceSize(AIM, largest=LARGEST)
    for rows, held in measured:
        before = sizes.size
        sizes.measured(rows, held)
        assert SMALLEST <= sizes.size <= LARGEST
        assert sizes.size <= before * GROWTH


def test_a_slice_that_took_too_long_makes_the_next_one_small_at_once() -> None:
    sizes = settled(20e-6)
    sizes.measured(sizes.size, 0.1)
    assert sizes.size == int(140 * AIM / 0.1)


def test_after_one_slow_slice_the_size_comes_back() -> None:
    sizes = settled(20e-6)
    sizes.measured(sizes.size, 0.1)
    for _ in range(12):
        sizes.measured(sizes.size, sizes.size * 20e-6)
    assert sizes.size > 120


def test_a_slice_without_rows_teaches_nothing() -> None:
    sizes = settled(20e-6)
    before = sizes.size
    sizes.measured(0, 1.0)
    assert sizes.size == before


def test_what_is_refused_is_looked_for_by_halves() -> None:
    sizes = SliceSize(AIM, largest=LARGEST)
    tried = []
    for rows in (50, 25, 12, 6, 3, 1):
        sizes.refused(rows)
        tried.append(sizes.size)
    assert tried == [25, 12, 6, 3, 1, 1]
    sizes.measured(1, 0.0001)
    assert sizes.size == 2
