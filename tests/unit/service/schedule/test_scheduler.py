"""The schedule: a real APScheduler on one thread, a real event loop on another, and jobs that report by event."""

import asyncio
import logging
import threading
import time
from collections.abc import Iterator, MutableMapping
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from structlog.testing import capture_logs

from bangeod.service.loop import LoopThread
from bangeod.service.schedule.scheduler import Every, JobScheduler
from tests.support.daemon.scheduler_thread import LONG, running

HOUR, DAY = 3600.0, 86_400.0


class Job:
    """A job whose runs can be waited for, and held."""

    def __init__(self, *, held: bool = False) -> None:
        self.started = threading.Semaphore(0)
        self.ended = threading.Semaphore(0)
        self.runs = 0
        self.at_once = 0
        self.most_at_once = 0
        self._held = held
        self._go_on = asyncio.Event()

    async def __call__(self) -> None:
        self.runs += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.started.release()
        try:
            if self._held:
                await self._go_on.wait()
        finally:
            self.at_once -= 1
            self.ended.release()

    def let_go(self, loop: LoopThread) -> None:
        """Let this run and all that follow end."""
        loop.call_soon(self._go_on.set)


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    with LoopThread() as loop:
        yield loop


@pytest.fixture
def scheduler(loop: LoopThread) -> JobScheduler:
    return JobScheduler(loop)


def now() -> float:
    return time.time()


def settle(loop: LoopThread) -> None:
    """Wait until the loop has done what it had to do so far."""

    async def turn() -> None:
        await asyncio.sleep(0)

    loop.submit(turn()).result(LONG)


def settle_schedule(scheduler: JobScheduler) -> None:
    """Wait until the scheduler has handed over what was due so far."""
    probe = Job()
    scheduler.plan("zz-probe", probe, interval=DAY, first_run=now())
    assert probe.ended.acquire(timeout=LONG)
    scheduler.drop("zz-probe")


async def nothing() -> None:
    pass


def test_a_job_runs_at_its_first_run_and_every_interval_after(scheduler: JobScheduler) -> None:
    job = Job()
    scheduler.plan("a", job, interval=0.02, first_run=now() + 0.02)
    with running(scheduler):
        assert all(job.ended.acquire(timeout=LONG) for _ in range(3))


def test_a_job_runs_on_the_loop(scheduler: JobScheduler) -> None:
    names: list[str] = []
    done = threading.Event()

    async def note() -> None:
        names.append(threading.current_thread().name)
        done.set()

    scheduler.plan("a", note, interval=DAY, first_run=now())
    with running(scheduler):
        assert done.wait(LONG)
    assert names == ["bangeod-loop"]


def test_missed_runs_are_made_up_for_by_one_however_late(scheduler: JobScheduler, loop: LoopThread) -> None:
    job, after = Job(), Job()
    scheduler.plan("a", job, interval=HOUR, first_run=now() - 30 * DAY)
    with running(scheduler):
        assert job.ended.acquire(timeout=LONG)
        scheduler.plan("after", after, interval=HOUR, first_run=now())
        assert after.ended.acquire(timeout=LONG)
        settle(loop)
        assert job.runs == 1
        assert scheduler.planned()["a"] == pytest.approx(now() + HOUR, abs=LONG)


def test_decades_of_missed_runs_cost_nothing() -> None:
    due, woken = datetime(1970, 1, 1, tzinfo=UTC), datetime(2026, 11, 22, tzinfo=UTC)

    assert Every(1).get_next_fire_time(due, woken).timestamp() == woken.timestamp() + 1


def test_a_run_that_falls_due_during_a_run_starts_when_that_ends_and_once(
    scheduler: JobScheduler, loop: LoopThread, caplog: pytest.LogCaptureFixture
) -> None:
    job, ticks = Job(held=True), Job()
    with caplog.at_level(logging.WARNING, "apscheduler"), running(scheduler):
        scheduler.plan("slow", job, interval=0.01, first_run=now())
        assert job.started.acquire(timeout=LONG)
        scheduler.plan("ticks", ticks, interval=0.01, first_run=now())
        assert all(ticks.ended.acquire(timeout=LONG) for _ in range(5))  # as often "slow" fell due
        scheduler.bring_forward("slow", now())
        scheduler.plan("slow", job, interval=DAY, first_run=now() + DAY)  # nothing falls due from here on
        settle(loop)
        assert job.runs == 1
        job.let_go(loop)
        assert job.started.acquire(timeout=LONG)
        assert all(job.ended.acquire(timeout=LONG) for _ in range(2))
        settle(loop)
        assert (job.runs, job.most_at_once) == (2, 1)
    assert caplog.records == []


def test_two_jobs_run_at_the_same_time(scheduler: JobScheduler, loop: LoopThread) -> None:
    slow, quick = Job(held=True), Job()
    scheduler.plan("slow", slow, interval=DAY, first_run=now())
    scheduler.plan("quick", quick, interval=DAY, first_run=now())
    with running(scheduler):
        assert slow.started.acquire(timeout=LONG)
        assert quick.ended.acquire(timeout=LONG)
        slow.let_go(loop)


def test_a_job_that_raises_is_logged_and_runs_again(scheduler: JobScheduler) -> None:
    again = threading.Semaphore(0)

    async def fail() -> None:
        again.release()
        raise LookupError("broken")

    with capture_logs() as logs:
        scheduler.plan("a", fail, interval=0.01, first_run=now())
        with running(scheduler):
            assert all(again.acquire(timeout=LONG) for _ in range(3))
    assert {(line["event"], line["job_id"], line["log_level"]) for line in logs} == {("job_failed", "a", "error")}


def test_registering_again_replaces_the_job_and_its_interval(scheduler: JobScheduler) -> None:
    old, new = Job(), Job()
    with running(scheduler):
        scheduler.plan("a", old, interval=DAY, first_run=now() + DAY)
        scheduler.plan("a", new, interval=0.01, first_run=now())
        assert all(new.ended.acquire(timeout=LONG) for _ in range(3))
        assert list(scheduler.planned()) == ["a"]
    assert old.runs == 0


def test_registering_again_before_the_start_replaces_too(scheduler: JobScheduler) -> None:
    scheduler.plan("a", nothing, interval=DAY, first_run=5000)
    scheduler.plan("a", nothing, interval=DAY, first_run=6000)

    assert scheduler.planned() == {"a": 6000}


def test_a_run_owed_by_a_replaced_job_is_the_new_ones(scheduler: JobScheduler, loop: LoopThread) -> None:
    old, new = Job(held=True), Job()
    with running(scheduler):
        scheduler.plan("a", old, interval=DAY, first_run=now())
        assert old.started.acquire(timeout=LONG)
        scheduler.plan("a", new, interval=DAY, first_run=now())
        settle_schedule(scheduler)
        old.let_go(loop)
        assert new.ended.acquire(timeout=LONG)
    assert old.runs == 1


def test_a_dropped_job_runs_no_more_even_if_owed(scheduler: JobScheduler, loop: LoopThread) -> None:
    job = Job(held=True)
    with running(scheduler):
        scheduler.plan("a", job, interval=DAY, first_run=now())
        assert job.started.acquire(timeout=LONG)
        scheduler.bring_forward("a", now())
        settle_schedule(scheduler)
        scheduler.drop("a")
        job.let_go(loop)
        assert job.ended.acquire(timeout=LONG)
        settle(loop)
        assert (job.runs, scheduler.planned()) == (1, {})


def test_dropping_an_unknown_job_is_no_error(scheduler: JobScheduler) -> None:
    scheduler.drop("a")


def test_a_job_registered_twice_before_the_start_is_dropped_whole(scheduler: JobScheduler) -> None:
    scheduler.plan("a", nothing, interval=DAY, first_run=5000)
    scheduler.plan("a", nothing, interval=DAY, first_run=6000)
    scheduler.drop("a")

    assert scheduler.planned() == {}


def test_next_run_of_an_unknown_job_is_none(scheduler: JobScheduler) -> None:
    assert scheduler.next_run("a") is None


def test_next_run_is_known_before_and_after_the_start(scheduler: JobScheduler) -> None:
    due = float(int(now() + DAY))
    scheduler.plan("a", nothing, interval=DAY, first_run=due)
    assert scheduler.next_run("a") == due
    with running(scheduler):
        assert scheduler.next_run("a") == due


def test_a_run_can_be_brought_forward(scheduler: JobScheduler) -> None:
    job = Job()
    scheduler.plan("a", job, interval=DAY, first_run=now() + DAY)
    with running(scheduler):
        scheduler.bring_forward("a", now())
        assert job.ended.acquire(timeout=LONG)
        assert scheduler.next_run("a") == pytest.approx(now() + DAY, abs=LONG)


def test_a_run_is_never_put_off(scheduler: JobScheduler) -> None:
    scheduler.plan("a", nothing, interval=DAY, first_run=5000)
    scheduler.bring_forward("a", 6000)

    assert scheduler.next_run("a") == 5000


def test_bringing_an_unknown_job_forward_plans_nothing(scheduler: JobScheduler) -> None:
    scheduler.bring_forward("a", 6000)

    assert scheduler.planned() == {}


def test_after_a_step_back_the_remaining_time_is_kept(scheduler: JobScheduler) -> None:
    due = float(int(now() + 3 * DAY))
    scheduler.plan("a", nothing, interval=DAY, first_run=due)
    with running(scheduler):
        scheduler.clock_stepped(-DAY)
        assert scheduler.next_run("a") == due - DAY


def test_after_a_step_back_the_scheduler_does_not_sleep_the_difference(scheduler: JobScheduler) -> None:
    job = Job()
    with running(scheduler):
        # What APScheduler is left with after a step back of a day: a run planned a day ahead.
        scheduler.plan("a", job, interval=DAY, first_run=now() + DAY + 0.05)
        scheduler.clock_stepped(-DAY)
        assert job.ended.acquire(timeout=LONG)


def test_a_step_forward_leaves_the_plan_alone(scheduler: JobScheduler) -> None:
    due = float(int(now() + 3 * DAY))
    scheduler.plan("a", nothing, interval=DAY, first_run=due)
    with running(scheduler):
        scheduler.clock_stepped(DAY)
        assert scheduler.next_run("a") == due


def test_after_a_step_forward_each_job_that_is_overdue_runs_once(
    scheduler: JobScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = jobs = Job(), Job()
    for number, job in enumerate(jobs):
        scheduler.plan(str(number), job, interval=DAY, first_run=now() + HOUR)
    move = scheduler._move

    def move_slowly(job_id: str, at: float) -> None:
        """Let APScheduler's thread come first."""
        move(job_id, at)
        one.started.acquire(timeout=LONG)
        other.started.acquire(timeout=LONG)

    monkeypatch.setattr(scheduler, "_move", move_slowly)
    with running(scheduler), time_machine.travel(now() + DAY):
        scheduler.clock_stepped(DAY)
        assert all(job.ended.acquire(timeout=LONG) for job in jobs)
        settle_schedule(scheduler)
    assert [job.runs for job in jobs] == [1, 1]


def test_after_a_step_the_first_job_is_planned_first(scheduler: JobScheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[str] = []
    for job_id in ("a", "b", "health"):
        scheduler.plan(job_id, nothing, interval=DAY, first_run=5000)
    monkeypatch.setattr(scheduler, "_move", lambda job_id, _at: moved.append(job_id))

    scheduler.clock_stepped(-100, first="health")

    assert moved == ["health", "a", "b"]


def test_a_time_beyond_all_calendars_is_no_error(scheduler: JobScheduler) -> None:
    scheduler.plan("a", nothing, interval=1e12, first_run=now() + 1e12)
    with running(scheduler):
        scheduler.clock_stepped(-1e13)


@pytest.mark.parametrize("interval", [0.0, -1.0])
def test_an_interval_that_is_none_is_refused(scheduler: JobScheduler, interval: float) -> None:
    with pytest.raises(ValueError, match="too short"):
        scheduler.plan("a", nothing, interval=interval, first_run=now())


def test_a_shutdown_before_the_start_lets_run_forever_return_at_once(scheduler: JobScheduler) -> None:
    scheduler.shutdown()
    scheduler.run_forever(lambda: pytest.fail("started"))


def test_a_shutdown_may_come_at_any_moment_of_the_start(loop: LoopThread) -> None:
    for _ in range(100):
        scheduler = JobScheduler(loop)
        scheduler.plan("a", nothing, interval=DAY, first_run=now())
        thread = threading.Thread(target=scheduler.run_forever, args=(lambda: None,))
        stopper = threading.Thread(target=scheduler.shutdown)
        thread.start()
        stopper.start()
        thread.join(LONG)
        stopper.join(LONG)
        assert not thread.is_alive()


def test_what_is_planned_while_it_starts_is_not_lost(loop: LoopThread) -> None:
    for _ in range(100):
        scheduler, job = JobScheduler(loop), Job()
        planner = threading.Thread(target=scheduler.plan, args=("a", job), kwargs={"interval": DAY, "first_run": now()})
        planner.start()
        with running(scheduler):
            assert job.ended.acquire(timeout=LONG)
        planner.join(LONG)


def test_a_shutdown_from_the_loop_ends_it(scheduler: JobScheduler, loop: LoopThread) -> None:
    scheduler.run_forever(lambda: loop.call_soon(scheduler.shutdown))


def test_a_shutdown_within_on_started_ends_it(scheduler: JobScheduler) -> None:
    scheduler.run_forever(scheduler.shutdown)


def test_a_second_shutdown_is_no_error(scheduler: JobScheduler) -> None:
    with running(scheduler):
        scheduler.shutdown()
        scheduler.shutdown()


def test_an_error_of_on_started_ends_it_and_is_raised(scheduler: JobScheduler) -> None:
    def fail() -> None:
        raise LookupError("not ready")

    with pytest.raises(LookupError, match="not ready"):
        scheduler.run_forever(fail)


def test_nothing_starts_after_a_shutdown_not_even_what_is_owed(scheduler: JobScheduler, loop: LoopThread) -> None:
    job = Job(held=True)
    with running(scheduler):
        scheduler.plan("a", job, interval=DAY, first_run=now())
        assert job.started.acquire(timeout=LONG)
        scheduler.bring_forward("a", now())
        settle_schedule(scheduler)
    scheduler.plan("a", job, interval=DAY, first_run=now())
    job.let_go(loop)
    assert job.ended.acquire(timeout=LONG)
    settle(loop)
    assert job.runs == 1


def test_calls_after_a_shutdown_are_no_errors(scheduler: JobScheduler) -> None:
    with running(scheduler):
        scheduler.plan("a", nothing, interval=DAY, first_run=now() + DAY)
    scheduler.bring_forward("a", now())
    scheduler.clock_stepped(-DAY)
    scheduler.drop("a")
    scheduler.plan("b", nothing, interval=DAY, first_run=now())


def test_draining_waits_for_a_running_job(scheduler: JobScheduler, loop: LoopThread) -> None:
    job = Job(held=True)
    scheduler.plan("a", job, interval=DAY, first_run=now())
    with running(scheduler):
        assert job.started.acquire(timeout=LONG)
    drained = loop.submit(scheduler.drain(LONG))
    job.let_go(loop)
    assert drained.result(LONG) == ()
    assert job.ended.acquire(blocking=False)


def test_draining_cancels_what_outlasts_the_grace_and_names_it(scheduler: JobScheduler, loop: LoopThread) -> None:
    job = Job(held=True)
    scheduler.plan("a", job, interval=DAY, first_run=now())
    with running(scheduler):
        assert job.started.acquire(timeout=LONG)
    assert loop.submit(scheduler.drain(0.01)).result(LONG) == ("a",)
    assert job.ended.acquire(blocking=False)


def test_draining_where_nothing_runs_is_done_at_once(scheduler: JobScheduler, loop: LoopThread) -> None:
    assert loop.submit(scheduler.drain(LONG)).result(LONG) == ()


def test_a_job_due_where_no_loop_runs_is_reported() -> None:
    with LoopThread() as loop:
        scheduler = JobScheduler(loop)
    reported = threading.Event()

    def note(_logger: object, _name: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if line["event"] == "job_not_started":
            reported.set()
        return line

    with capture_logs(processors=[note]):
        scheduler.plan("a", nothing, interval=DAY, first_run=now())
        with running(scheduler):
            assert reported.wait(LONG)
