"""APScheduler in the main thread, and its executor that hands the jobs to the event loop."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import structlog
from apscheduler.events import EVENT_SCHEDULER_STARTED
from apscheduler.executors.base import BaseExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.blocking import BlockingScheduler
from apscheduler.triggers.base import BaseTrigger

from bangeod.errors import JobRunningError, StoppingError
from bangeod.service.loop import LoopThread
from bangeod.service.schedule import timing as policy

T = TypeVar("T")
Run = Callable[[], Awaitable[object]]

END_OF_TIME = datetime(9999, 12, 31, tzinfo=UTC).timestamp()  # datetime knows no later year
SHORTEST = 0.001  # of an interval, in seconds: below the clock's resolution a job would be due for ever

log = structlog.get_logger(__name__)


class Every(BaseTrigger):  # type: ignore[misc]  # APScheduler ships no types
    """Fires every ``interval`` seconds, and once for all that was missed.

    APScheduler's own interval trigger lists each missed time before it coalesces them: on a machine that
    boots in 1970 and then learns the time, tens of millions.
    """

    def __init__(self, interval: float) -> None:
        if interval < SHORTEST:
            raise ValueError(f"an interval of {interval} s is too short to plan with")
        self.interval = interval

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """Return the time of the run after the one planned for ``previous_fire_time``."""
        planned = now if previous_fire_time is None else previous_fire_time
        return _moment(policy.next_run(planned.timestamp(), now.timestamp(), interval=self.interval))

    def __str__(self) -> str:
        return f"every {self.interval:g} s"


class LoopExecutor(BaseExecutor):  # type: ignore[misc]  # APScheduler ships no types
    """Runs jobs as tasks of the event loop, one instance of each at a time.

    A run that falls due during the job's own run starts when that ends; several that do so are one.
    Everything but ``submit_job`` and ``shutdown`` happens on the loop, so its state needs no lock.
    """

    def __init__(self, loop: LoopThread) -> None:
        super().__init__()
        self._loop = loop
        self._registry: Any = None  # APScheduler's scheduler, once it is up
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._owed: set[str] = set()
        self._closed = False  # set from any thread, never unset

    def start(self, scheduler: Any, alias: str) -> None:
        """Take note of who knows which jobs are registered; the base class has it too, but keeps it to itself."""
        super().start(scheduler, alias)
        self._registry = scheduler

    def submit_job(self, job: Any, run_times: object) -> None:  # noqa: ARG002 - the signature is APScheduler's
        """Hand a due job to the loop. Never raises MaxInstancesReachedError."""
        if not self._loop.call_soon(self._due, job.id):
            log.error("job_not_started", job_id=job.id, problem="the event loop is not running")

    def _do_submit_job(self, job: Any, run_times: object) -> None:
        self.submit_job(job, run_times)  # abstract in the base class, and called by its submit_job only

    def shutdown(self, wait: bool = True) -> None:  # noqa: ARG002 - the signature is APScheduler's
        """Start nothing any more. What runs goes on; ``drain`` waits for it."""
        self._closed = True

    async def drain(self, grace: float) -> tuple[str, ...]:
        """Give the running jobs ``grace`` seconds, cancel the rest, and return the ids of those.

        A cancelled job has as long again to roll back.
        """
        if not self._tasks:
            return ()
        _, late = await asyncio.wait(self._tasks.values(), timeout=grace)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=grace)
        return tuple(sorted(task.get_name() for task in late))

    def run_by_hand(self, job_id: str, run: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        """Run a job now, beside its plan. Raises JobRunningError, and StoppingError after ``shutdown``."""
        if self._closed:
            raise StoppingError
        if job_id in self._tasks:
            raise JobRunningError(job_id)
        task = asyncio.get_running_loop().create_task(run(), name=job_id)
        self._watch(job_id, task)
        return task

    @property
    def running(self) -> Collection[str]:
        """Return the ids of the jobs that run now."""
        return self._tasks.keys()

    def _due(self, job_id: str) -> None:
        if job_id in self._tasks:
            self._owed.add(job_id)
        else:
            self._begin(job_id)

    def _begin(self, job_id: str) -> None:
        """Start what is registered under the id now: it may have been replaced or dropped since."""
        job = None if self._closed else self._registry.get_job(job_id)
        if job is None:
            return
        task = asyncio.get_running_loop().create_task(_run(job_id, job.func), name=job_id)
        self._watch(job_id, task)

    def _watch(self, job_id: str, task: asyncio.Task[Any]) -> None:
        self._tasks[job_id] = task
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        job_id = task.get_name()
        del self._tasks[job_id]
        owed = job_id in self._owed
        self._owed.discard(job_id)
        if owed and not task.cancelled():  # only the end of the daemon cancels a task
            self._begin(job_id)


class JobScheduler:
    """The schedule of all jobs. Methods may be called from any thread, but those that say otherwise.

    No method may be called from a signal handler: they take locks.
    """

    def __init__(self, loop: LoopThread) -> None:
        self._executor = LoopExecutor(loop)
        self._scheduler = BlockingScheduler(
            timezone=UTC,
            executors={"default": self._executor},
            job_defaults={"coalesce": True, "misfire_grace_time": None},
        )
        # Held by whoever plans, and by run_forever from before APScheduler starts until it is up: what is
        # planned in the middle of that would be lost, and a shutdown would not be heeded.
        self._gate = threading.Lock()
        self._up = False
        self._stopped = False

    def plan(self, job_id: str, run: Run, *, interval: float, first_run: float) -> None:
        """Run a job at ``first_run`` (epoch) and then every ``interval`` seconds; replaces one of this id."""
        trigger = Every(interval)
        with self._gate:
            if not self._up:
                self._remove(job_id)  # APScheduler replaces once it is up, and keeps both until then
            self._scheduler.add_job(
                run, trigger, id=job_id, name=job_id, next_run_time=_moment(first_run), replace_existing=True
            )

    def drop(self, job_id: str) -> None:
        """Run a job no more. One that is running goes on; an unknown one is no error."""
        with self._gate:
            self._remove(job_id)

    def next_run(self, job_id: str) -> float | None:
        """Return when the job is due next (epoch); None where it is not planned."""
        return self.planned().get(job_id)

    def planned(self) -> Mapping[str, float]:
        """Return when each job is due next (epoch), by id."""
        with self._gate:
            return self._times()

    def bring_forward(self, job_id: str, at: float) -> None:
        """Run a job at ``at`` (epoch) where it is planned for later, and every interval from then on."""
        with self._gate:
            planned = self._times().get(job_id)
            if planned is not None and at < planned:
                self._move(job_id, at)

    def clock_stepped(self, step: float, first: str | None = None) -> None:
        """Plan every job anew after a step of the wall clock by ``step`` seconds, the job ``first`` first.

        A step forward moves no plan (after_step), it only makes runs overdue. To put the same times there again would
        be to run jobs twice: APScheduler's thread may have started them, and planned the next run, meanwhile.
        """
        with self._gate:
            if step > 0:
                if self._up:
                    self._scheduler.wakeup()
                return
            planned = self._times()
            for job_id in sorted(planned, key=lambda job_id: job_id != first):
                self._move(job_id, policy.after_step(planned[job_id], step))

    def run_forever(self, on_started: Callable[[], object]) -> None:
        """Run in this thread until ``shutdown``; calls ``on_started`` here, and starts jobs when that is done.

        May be called once. Returns at once where ``shutdown`` came first. An error of ``on_started`` ends it
        and is raised.
        """
        failures: list[BaseException] = []

        def started(_event: object) -> None:
            self._up = True
            self._gate.release()
            try:
                on_started()
            except BaseException as error:  # noqa: BLE001 - APScheduler would log it and go on
                failures.append(error)
                self.shutdown()

        self._gate.acquire()
        try:
            if self._stopped:
                return
            self._scheduler.add_listener(started, EVENT_SCHEDULER_STARTED)
            self._scheduler.start()
        finally:
            if not self._up:
                self._gate.release()
            self.shutdown()
        if failures:
            raise failures[0]

    def shutdown(self) -> None:
        """Start no more runs and let ``run_forever`` return, also where it has not been called yet."""
        with self._gate:
            self._executor.shutdown()
            if self._up and not self._stopped:
                self._scheduler.shutdown(wait=False)
            self._stopped = True

    def run_by_hand(self, job_id: str, run: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        """Run a job now; see LoopExecutor. On the loop only."""
        return self._executor.run_by_hand(job_id, run)

    @property
    def running(self) -> Collection[str]:
        """Return the ids of the jobs that run now. On the loop only."""
        return self._executor.running

    async def drain(self, grace: float) -> tuple[str, ...]:
        """Wait for running jobs after ``shutdown``; see LoopExecutor. On the loop only."""
        return await self._executor.drain(grace)

    def _times(self) -> dict[str, float]:
        return {job.id: job.next_run_time.timestamp() for job in self._scheduler.get_jobs()}

    def _move(self, job_id: str, at: float) -> None:
        with contextlib.suppress(JobLookupError):  # the scheduler was shut down
            self._scheduler.modify_job(job_id, next_run_time=_moment(at))  # wakes it

    def _remove(self, job_id: str) -> None:
        with contextlib.suppress(JobLookupError):
            self._scheduler.remove_job(job_id)


async def _run(job_id: str, run: Run) -> None:
    try:
        await run()
    except Exception:
        log.exception("job_failed", job_id=job_id)


def _moment(epoch: float) -> datetime:
    return datetime.fromtimestamp(min(max(epoch, 0.0), END_OF_TIME), UTC)
