"""When jobs run: after a start, a failure, a step of the clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod.service.schedule.timing import (
    LOOK_AGAIN,
    RETRY,
    SOON,
    SPREAD,
    STEP,
    ClockWatch,
    after_step,
    after_success,
    first_run,
    is_done_by,
    look_again,
    next_run,
    retry_run,
)

NOW = 1_795_000_000.0
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0

times = st.floats(min_value=0, max_value=4e9)
intervals = st.floats(min_value=0.01, max_value=1e8)


@pytest.mark.parametrize(
    ("interval", "last_success", "waits", "expected"),
    [
        pytest.param(DAY, NOW - HOUR, False, NOW + 23 * HOUR, id="not due yet: an interval after the last"),
        pytest.param(DAY, NOW - 30 * DAY, False, NOW + SOON, id="due while down: shortly after the start"),
        pytest.param(DAY, NOW - DAY + 1, False, NOW + SOON, id="due during the start: shortly after it"),
        pytest.param(DAY, None, False, NOW + SOON, id="no record: shortly after the start"),
        pytest.param(DAY, NOW + 1, False, NOW + SOON, id="record in the future: shortly after the start"),
        pytest.param(600, None, True, NOW + 600, id="waits without a record: one interval"),
        pytest.param(600, NOW - 100, True, NOW + 500, id="waits, but has a record: an interval after it"),
        pytest.param(600, NOW - DAY, True, NOW + SOON, id="waits, but was due while down: made up for"),
        pytest.param(600, NOW + DAY, True, NOW + SOON, id="waits, but its record is of the future: at once"),
        pytest.param(2, NOW - DAY, False, NOW + 2, id="made up for no later than an interval of seconds"),
        pytest.param(2, None, False, NOW + 2, id="no record: no later than an interval of seconds"),
    ],
)
def test_first_run(interval: float, last_success: float | None, waits: bool, expected: float) -> None:
    assert first_run(NOW, interval=interval, last_success=last_success, waits_without_record=waits) == expected


def test_runs_made_up_for_start_one_after_the_other() -> None:
    runs = [first_run(NOW, interval=DAY, last_success=None, place=place) for place in range(3)]

    assert runs == [NOW + SOON, NOW + SOON + SPREAD, NOW + SOON + 2 * SPREAD]


@given(now=times, interval=intervals, last=st.none() | times, waits=st.booleans(), place=st.integers(0, 10))
def test_first_run_is_after_now_and_within_an_interval(
    now: float, interval: float, last: float | None, waits: bool, place: int
) -> None:
    run = first_run(now, interval=interval, last_success=last, waits_without_record=waits, place=place)

    assert now < run <= now + interval


def test_a_daemon_restarted_every_hour_runs_a_daily_job_every_day() -> None:
    last, runs = NOW, []
    for hour in range(24 * 4):
        start = NOW + hour * HOUR
        due = first_run(start, interval=DAY, last_success=last)
        if due < start + HOUR:
            last = due
            runs.append((due - NOW) / DAY)

    assert runs == pytest.approx([1, 2, 3], abs=0.01)


@pytest.mark.parametrize(
    ("late", "interval", "expected"),
    [
        pytest.param(0.0, 60, 60, id="on time: the grid"),
        pytest.param(0.2, 60, 60, id="a little late: the grid, so that runs don't drift"),
        pytest.param(59.0, 60, 119, id="late: a whole interval passes"),
        pytest.param(1e9, 60, 1e9 + 60, id="years late: nothing in between is made up for"),
    ],
)
def test_next_run(late: float, interval: float, expected: float) -> None:
    assert next_run(NOW, NOW + late, interval=interval) == NOW + expected


@given(planned=times, now=times, interval=intervals)
def test_the_next_run_is_after_now_and_within_an_interval(planned: float, now: float, interval: float) -> None:
    assert now < next_run(planned, now, interval=interval) <= now + interval


@pytest.mark.parametrize(
    ("interval", "planned", "expected"),
    [
        pytest.param(DAY, NOW + DAY, NOW + RETRY, id="a long interval: after five minutes"),
        pytest.param(MINUTE, NOW + MINUTE, NOW + MINUTE, id="a short interval: after the interval"),
        pytest.param(DAY, NOW + 10, NOW + 10, id="never later than planned"),
        pytest.param(MINUTE, NOW - 10, NOW - 10, id="overdue by a run that took long: as planned"),
    ],
)
def test_retry_run(interval: float, planned: float, expected: float) -> None:
    assert retry_run(NOW, interval=interval, planned=planned) == expected


@pytest.mark.parametrize(
    ("step", "now", "remaining"),
    [
        pytest.param(-DAY, NOW - DAY, 600, id="back a day: what remained remains"),
        pytest.param(DAY, NOW + DAY, 600 - DAY, id="forward a day: overdue, so due at once"),
        pytest.param(300, NOW + 300, 300, id="forward less than remained: sooner, at its time of day"),
    ],
)
def test_after_step(step: float, now: float, remaining: float) -> None:
    assert after_step(NOW + 600, step) - now == remaining


def observed(*readings: tuple[float, float]) -> list[float]:
    watch = ClockWatch()
    return [watch.observe(wall, monotonic) for wall, monotonic in readings]


def test_the_first_observation_is_no_step() -> None:
    assert observed((NOW, 5.0)) == [0.0]


def test_clocks_that_run_together_show_no_step() -> None:
    assert observed((NOW, 5.0), (NOW + 1000, 1005.0)) == [0.0, 0.0]


def test_a_step_is_seen_once_and_with_its_sign() -> None:
    assert observed((NOW, 5), (NOW - DAY, 5), (NOW - DAY, 5), (NOW, 5)) == [0.0, -DAY, 0.0, DAY]


def test_a_suspend_is_a_step_forward() -> None:
    assert observed((NOW, 5), (NOW + HOUR + 1, 6)) == [0.0, HOUR]


def test_slewing_never_adds_up_to_a_step() -> None:
    readings = [(NOW + second * 1.1, float(second)) for second in range(100)]  # 10 s off in the end

    assert set(observed(*readings)) == {0.0}


def test_the_threshold_itself_is_a_step() -> None:
    assert observed((NOW, 0), (NOW + STEP, 0)) == [0.0, STEP]


@pytest.mark.parametrize(
    ("ago", "done"),
    [
        pytest.param(0.0, True, id="just now"),
        pytest.param(HOUR / 2, True, id="half an interval ago"),
        pytest.param(HOUR - 1, False, id="an interval ago, but for a moment: due again"),
        pytest.param(HOUR, False, id="an interval ago: due again"),
        pytest.param(DAY, False, id="long ago"),
        pytest.param(-1.0, False, id="in the future: nobody knows"),
    ],
)
def test_whether_a_success_does_for_a_run_that_is_due(ago: float, *, done: bool) -> None:
    assert is_done_by(ago, interval=HOUR) is done


@given(ago=st.floats(0, 1e8), interval=intervals)
def test_after_a_success_that_does_the_next_run_is_ahead_and_within_an_interval(ago: float, interval: float) -> None:
    if is_done_by(ago, interval=interval):
        assert NOW < after_success(NOW, ago, interval=interval) <= NOW + interval


def test_a_job_that_is_run_elsewhere_is_looked_at_within_its_interval() -> None:
    assert look_again(NOW, interval=DAY, planned=NOW + DAY) == NOW + LOOK_AGAIN
    assert look_again(NOW, interval=0.1, planned=NOW + 0.1) == NOW + 0.1
    assert look_again(NOW, interval=DAY, planned=NOW + 1) == NOW + 1
