"""How many rows a statement changes."""

from bangeod.store.postgres.slicing import FIRST, LARGEST, Slicer


def after(*measured: tuple[int, float], longest: float = 0.01) -> int:
    slicer = Slicer(longest)
    for rows, took in measured:
        slicer.measured(rows, took)
    return slicer.size


def test_a_slice_takes_half_of_the_time_that_rows_may_be_locked() -> None:
    assert after((50, 0.0025)) == 100  # 50 µs a row
    assert after((50, 0.0025), (100, 0.005)) == 100


def test_slices_grow_by_no_more_than_double() -> None:
    assert after((50, 1e-9)) == 2 * FIRST
    assert after((50, 1e-9), (100, 1e-9)) == 4 * FIRST


def test_slices_stay_within_bounds() -> None:
    assert after(*[(50, 1e-9)] * 20) == LARGEST
    assert after((50, 60.0)) == 1
    assert after((0, 60.0)) == FIRST


def test_one_slice_that_took_far_too_long_counts_for_more_than_the_others() -> None:
    assert after(*[(50, 0.0005)] * 3, (400, 0.4)) == 5


def test_what_is_refused_is_looked_for_by_halves() -> None:
    slicer = Slicer(0.01)
    sizes = []
    for rows in (50, 25, 12, 6, 3, 1):
        slicer.refused(rows)
        sizes.append(slicer.size)
    assert sizes == [25, 12, 6, 3, 1, 1]
    slicer.measured(1, 0.0001)
    assert slicer.size == 2
