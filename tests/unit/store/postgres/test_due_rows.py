"""How many blocks of a table are read at a time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod.store.postgres.due_rows import FIRST_BLOCKS, MOST_BLOCKS, next_blocks
from bangeod.store.postgres.walking import MANY


@pytest.mark.parametrize(
    ("blocks", "found", "wanted"),
    [
        (FIRST_BLOCKS, 0, 2 * FIRST_BLOCKS),
        (FIRST_BLOCKS, 60 * FIRST_BLOCKS, 2 * FIRST_BLOCKS),
        (32, 32 * 60, 33),
        (64, 64 * 60, 33),
        (MOST_BLOCKS, 0, MOST_BLOCKS),
        (1, 100_000, 1),
    ],
)
def test_as_many_blocks_as_have_a_page_of_rows_are_read_at_once(blocks: int, found: int, wanted: int) -> None:
    assert next_blocks(blocks, found) == wanted


@given(blocks=st.integers(1, MOST_BLOCKS), found=st.integers(0, 300 * MOST_BLOCKS))
def test_the_next_page_has_no_more_than_twice_the_blocks_and_no_more_rows_than_fit(blocks: int, found: int) -> None:
    wanted = next_blocks(blocks, found)
    assert 1 <= wanted <= min(2 * blocks, MOST_BLOCKS)
    assert wanted == 1 or wanted * found <= MANY * blocks
