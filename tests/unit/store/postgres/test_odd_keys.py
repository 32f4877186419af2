"""When the keys of a table are read again."""

import pytest

from bangeod.store.postgres.odd_keys import FEW, rest_after


@pytest.mark.parametrize(
    ("rows", "took", "seconds"),
    [(0, 0.001, 0.0), (FEW, 0.01, 0.0), (FEW + 1, 0.01, 60.0), (1_000_000, 0.25, 60.0), (10_000_000, 3.0, 600.0)],
)
def test_few_keys_are_read_each_time_and_many_in_half_a_per_cent_of_the_time(
    rows: int, took: float, seconds: float
) -> None:
    assert rest_after(rows, took) == seconds
