"""The slicing policy: sizes, pauses and checkpoints from measured times."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod.store.sqlite.slicing import (
    AIM,
    FIRST,
    GROWTH,
    LARGEST,
    LEAST_FRAMES_A_ROW,
    LONG_WAL,
    LONGEST_WAIT,
    SHORTEST_WAIT,
    SMALLEST,
    WAL_FRAMES,
    CheckpointPlan,
    Slicer,
    pause_after,
)

LONGEST = 0.01  # seconds
BUSY_HANDLER = (0, 1, 3, 8, 18, 33, 53, 78, 103, 128, 178, 228, 328, 428, 528)  # ms; when SQLite's looks again

holds = st.floats(0, 60, allow_nan=False)
row_costs = st.floats(1e-7, 1.0)


def settled(per_row: float, slices: int = 50) -> Slicer:
    """Return a slicer that has seen slices in which each row took as long."""
    slicer = Slicer(LONGEST)
    for _ in range(slices):
        slicer.measured(slicer.size, slicer.size * per_row)
    return slicer


# --- the size of a slice ---


def test_the_first_slice_is_small_since_nothing_is_known() -> None:
    assert Slicer(LONGEST).size == FIRST


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
    assert held <= max(LONGEST * AIM * 1.001, per_row)


@given(measured=st.lists(st.tuples(st.integers(-1, 2 * LARGEST), holds)))
def test_the_size_stays_in_bounds_and_at_most_doubles(measured: list[tuple[int, float]]) -> None:
    slicer = Slicer(LONGEST)
    for rows, held in measured:
        before = slicer.size
        slicer.measured(rows, held)
        assert SMALLEST <= slicer.size <= LARGEST
        assert slicer.size <= before * GROWTH


def test_a_slice_that_took_too_long_makes_the_next_one_small_at_once() -> None:
    slicer = settled(20e-6)
    slicer.measured(slicer.size, 0.1)
    assert slicer.size == int(140 * LONGEST * AIM / 0.1)


def test_after_one_slow_slice_the_size_comes_back() -> None:
    slicer = settled(20e-6)
    slicer.measured(slicer.size, 0.1)
    for _ in range(12):
        slicer.measured(slicer.size, slicer.size * 20e-6)
    assert slicer.size > 120


def test_a_slice_without_rows_teaches_nothing() -> None:
    slicer = settled(20e-6)
    before = slicer.size
    slicer.measured(0, 1.0)
    assert slicer.size == before


# --- the pause after it ---


@given(held=holds)
def test_the_lock_is_free_for_longer_than_it_was_held(held: float) -> None:
    assert pause_after(held) > held


@given(hold=st.floats(0, 400), arrival=st.floats(0, 1))
def test_a_web_app_that_waited_for_a_slice_looks_again_before_the_next_one(hold: float, arrival: float) -> None:
    """Its first look after the hold falls into the pause, whenever within the hold it came. In milliseconds."""
    came = hold * arrival
    look = next(came + wait for wait in BUSY_HANDLER if came + wait >= hold)
    assert look <= hold + pause_after(hold / 1000) * 1000


@pytest.mark.parametrize("looks_at", BUSY_HANDLER[:-1])
def test_nor_does_it_where_the_hold_ends_just_after_a_look(looks_at: int) -> None:
    hold = looks_at + 0.01
    assert next(wait for wait in BUSY_HANDLER if wait >= hold) <= hold + pause_after(hold / 1000) * 1000


# --- checkpoints ---


def checkpointed(plan: CheckpointPlan, frames_a_row: float, rows: int = 50) -> float:
    """Commit slices until a checkpoint is due, and empty the log; return its length by then."""
    frames = rows * frames_a_row
    while not plan.committed(rows):
        frames += rows * frames_a_row
    plan.checkpointed(int(frames), emptied=True)
    return frames


def test_the_first_slice_is_followed_by_a_checkpoint_to_learn_from() -> None:
    assert CheckpointPlan().committed(1)


@pytest.mark.parametrize("frames_a_row", [0.3, 1, 2, 5])
def test_the_log_is_checkpointed_once_it_has_grown_enough(frames_a_row: float) -> None:
    plan = CheckpointPlan()
    checkpointed(plan, frames_a_row)
    assert WAL_FRAMES <= checkpointed(plan, frames_a_row) < WAL_FRAMES + 50 * frames_a_row + 1


def test_slices_that_fill_the_log_are_each_followed_by_a_checkpoint() -> None:
    plan = CheckpointPlan()
    for _ in range(5):
        assert checkpointed(plan, 1, rows=WAL_FRAMES) == WAL_FRAMES


def test_a_checkpoint_that_could_not_look_teaches_nothing() -> None:
    plan = CheckpointPlan()
    checkpointed(plan, 1)
    plan.committed(WAL_FRAMES - 1)
    plan.checkpointed(-1, emptied=False)
    assert plan.committed(1)


def test_rows_that_shared_pages_are_not_trusted_to_go_on_doing_so() -> None:
    plan = CheckpointPlan()
    plan.committed(1_000)
    plan.checkpointed(1, emptied=True)
    assert plan.committed(int(WAL_FRAMES / LEAST_FRAMES_A_ROW))


def test_a_log_that_could_not_be_emptied_stays_due() -> None:
    plan = CheckpointPlan()
    checkpointed(plan, 1)
    plan.committed(WAL_FRAMES)
    plan.checkpointed(WAL_FRAMES, emptied=False)
    assert plan.committed(1)


def test_a_short_log_is_not_waited_for_a_long_one_is() -> None:
    plan = CheckpointPlan()
    plan.checkpointed(LONG_WAL, emptied=False)
    assert plan.patience == SHORTEST_WAIT
    plan.checkpointed(LONG_WAL + 1, emptied=False)
    assert plan.patience == LONGEST_WAIT


def test_a_log_that_is_left_to_grow_is_due_again_once_it_has_grown_as_much_again() -> None:
    plan = CheckpointPlan()
    checkpointed(plan, 1)
    plan.grows(5 * WAL_FRAMES)
    assert not plan.committed(WAL_FRAMES - 1)
    assert plan.committed(1)


def test_after_it_could_be_emptied_it_is_a_short_log_again() -> None:
    plan = CheckpointPlan()
    checkpointed(plan, 1)
    plan.grows(5 * WAL_FRAMES)
    plan.checkpointed(5 * WAL_FRAMES, emptied=True)
    assert not plan.committed(WAL_FRAMES - 1)
    assert plan.patience == SHORTEST_WAIT
