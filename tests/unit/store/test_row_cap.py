"""Which rows go above the cap."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from bangeod.store.row_cap import NONE_GOES, Cut, Overflow, cut

TIMES = st.integers(-5, 5) | st.integers(-(2**58), 2**58)
ROWS = st.lists(st.tuples(st.none() | TIMES, st.booleans()), max_size=40)


def test_nothing_is_cut_where_nothing_must_go() -> None:
    assert cut(array("q", [1, 2]), 0) == Cut(NONE_GOES, 0)


def test_of_equal_times_only_as_many_are_cut_as_must() -> None:
    assert cut(array("q", [3, 1, 2, 2, 2]), 3) == Cut(2, 2)


@given(ROWS, st.integers(0, 45))
def test_exactly_the_oldest_go_and_the_kept_ones_last(rows: list[tuple[int | None, bool]], max_rows: int) -> None:
    choice = Overflow()
    for micros, kept in rows:
        choice.add(micros, kept=kept)
    end = choice.decide(max_rows)
    readable = [(kept, micros) for micros, kept in rows if micros is not None]
    gone = [row for row in readable if choice.takes(row[1], kept=row[0])]
    excess = max(0, len(rows) - max_rows)
    assert sorted(gone) == sorted(readable)[:excess]  # False, not kept, sorts first
    assert choice.going == len(gone)
    assert all(micros < end for _, micros in gone)


@given(ROWS, st.integers(0, 45))
def test_what_may_go_lies_before_the_end_that_is_returned(rows: list[tuple[int | None, bool]], max_rows: int) -> None:
    """The store looks at no row from the end on, so none of those may be one that goes."""
    choice = Overflow()
    for micros, kept in rows:
        choice.add(micros, kept=kept)
    end = choice.decide(max_rows)
    before = [row for row in rows if row[0] is not None and row[0] < end]
    assert sum(choice.takes(micros, kept=kept) for micros, kept in before if micros is not None) == choice.going


def test_a_row_that_was_seen_since_stays() -> None:
    choice = Overflow()
    for micros in (1, 2, 3):
        choice.add(micros, kept=False)
    choice.decide(2)
    assert not choice.takes(4, kept=False)
