"""When bangeod looks how long others have made the WAL, and when a checkpoint is worth it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod.store.sqlite.readers import Reader, WalView
from bangeod.store.sqlite.wal_growth import LONG, LONGEST, SHORTEST, WalGrowth, is_worth_a_checkpoint

AUTOCHECKPOINT = 1_000  # frames; sqlite.org/pragma.html#pragma_wal_autocheckpoint


def wal(frames: int, moved: int = 0, *, salt: bytes = b"one", readers: tuple[Reader, ...] = ()) -> WalView:
    return WalView(commits=frames, page_size=4096, frames=frames, moved=moved, readers=readers, salt=salt)


def test_while_nobody_writes_it_looks_seldom() -> None:
    growth = WalGrowth()
    assert [growth.next_look(at * LONGEST, wal(30)) for at in range(5)] == [LONGEST] * 5


def test_where_the_wal_can_not_be_seen_it_looks_seldom() -> None:
    assert WalGrowth().next_look(0, None) == LONGEST


@pytest.mark.parametrize("speed", [100, 500, 2_000])
def test_once_it_knows_the_speed_it_looks_before_the_web_app_has_to_checkpoint(speed: int) -> None:
    growth = WalGrowth()
    growth.next_look(0, wal(0))
    now, frames = SHORTEST, int(speed * SHORTEST)
    for _ in range(200):
        wait = growth.next_look(now, wal(frames))
        now, frames = now + wait, frames + int(speed * wait)
        if is_worth_a_checkpoint(wal(frames)):
            break
    assert LONG <= frames < AUTOCHECKPOINT


def test_a_wal_that_has_started_over_has_grown_by_all_that_is_in_it() -> None:
    growth = WalGrowth()
    growth.next_look(0, wal(500, 500))
    assert growth.next_look(1, wal(300, salt=b"two")) == pytest.approx(0.5)  # 300 a second, 300 left, half of it


def test_a_wal_that_starts_over_with_the_next_commit_is_empty() -> None:
    growth = WalGrowth()
    growth.next_look(0, wal(300))
    assert growth.next_look(1, wal(600, 600)) == pytest.approx(1.0)


def test_after_a_burst_it_looks_more_and_more_seldom() -> None:
    growth = WalGrowth()
    growth.next_look(0, wal(0))
    now = 1.0
    waits = []
    for _ in range(12):
        waits.append(growth.next_look(now, wal(500)))
        now += waits[-1]
    assert waits == sorted(waits)
    assert waits[0] == pytest.approx(0.1)
    assert waits[-1] == LONGEST


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 5_000), st.sampled_from([b"one", b"two"]))))
def test_the_time_stays_in_bounds(looks: list[tuple[float, int, bytes]]) -> None:
    growth, now = WalGrowth(), 0.0
    for passed, frames, salt in looks:
        now += passed
        assert SHORTEST <= growth.next_look(now, wal(frames, salt=salt)) <= LONGEST


@pytest.mark.parametrize(
    ("view", "worth"),
    [
        (None, False),
        (wal(LONG - 1), False),
        (wal(LONG), True),
        (wal(900, 890), True),
        (wal(900, 900), False),
        (wal(900, 300, readers=(Reader(11, 1, 300),)), False),
    ],
)
def test_a_checkpoint_is_worth_it_where_the_wal_is_long_and_something_can_be_moved(
    view: WalView | None, *, worth: bool
) -> None:
    assert is_worth_a_checkpoint(view) is worth
