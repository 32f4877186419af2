"""How many rows a statement changes."""

from bangeod.store.postgres.slicing import LARGEST, slice_size


def after(*measured: tuple[int, float]) -> int:
    sizes = slice_size(0.01)
    for rows, took in measured:
        sizes.measured(rows, took)
    return sizes.size


def test_a_slice_takes_half_of_the_time_that_rows_may_be_locked() -> None:
    assert after((50, 0.0025)) == 100  # 50 µs a row
    assert after((50, 0.0025), (100, 0.005)) == 100


def test_no_slice_is_too_large_however_quick_it_is() -> None:
    assert after(*[(50, 1e-9)] * 20) == LARGEST
