"""Which successes of jobs may wait to be saved, and how often that is in a day."""

import pytest

from bangeod.service.state.saving import may_wait

AT = 1_796_000_000.0
HOUR = 3600.0
DAY = 24 * HOUR


@pytest.mark.parametrize(
    ("saved", "waits"),
    [(None, False), (AT, True), (AT - 600, True), (AT - 4 * HOUR + 1, True), (AT - 4 * HOUR, False), (AT - DAY, False)],
    ids=["the first", "at the same time", "10 min later", "nearly 4 hours later", "4 hours later", "a day later"],
)
def test_a_success_waits_for_four_hours_at_most_after_the_one_saved_last(saved: float | None, *, waits: bool) -> None:
    assert may_wait(AT, saved=saved) is waits


def test_after_a_step_back_of_the_clock_it_does_not_wait() -> None:
    assert not may_wait(AT, saved=AT + 1)


@pytest.mark.parametrize(
    ("interval", "times"), [(60.0, 6), (600.0, 6), (6 * HOUR, 4), (DAY, 1)], ids=["1 min", "10 min", "6 h", "1 d"]
)
def test_a_job_is_saved_six_times_a_day_or_as_often_as_it_succeeds(interval: float, times: int) -> None:
    saved: float | None = None
    saves = 0
    for number in range(round(DAY / interval)):
        at = AT + number * interval
        if not may_wait(at, saved=saved):
            saved, saves = at, saves + 1
    assert saves == times
