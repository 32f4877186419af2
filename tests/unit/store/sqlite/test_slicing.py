"""The slicing policy: pauses and checkpoints from measured times."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod.store.sqlite.slicing import (
    LEAST_FRAMES_A_ROW,
    LONG_WAL,
    LONGEST_WAIT,
    SHORTEST_WAIT,
    WAL_FRAMES,
    CheckpointPlan,
    pause_after,
)

BUSY_HANDLER = (0, 1, 3, 8, 18, 33, 53, 78, 103, 128, 178, 228, 328, 428, 528)  # ms; when SQLite's looks again

holds = st.floats(0, 60, allow_nan=False)


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
