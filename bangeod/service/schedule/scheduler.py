"""APScheduler in the main thread, with an executor that passes the jobs to the event loop."""

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
from bangeod.service.schedule import timing

T = TypeVar("T")
Body = Callable[[], Awaitable[object]]

END_OF_TIME = datetime(9999, 12, 31, tzinfo=UTC).timestamp()  # datetime knows no later year
SHORTEST = 0.001  # seconds of an interval: below the clock's resolution a job would be due for ever

log = structlog.get_logger(__name__)


class Every(BaseTrigger):  # type: ignore[misc]  # APScheduler ships no types
    """Fires every ``interval`` seconds, and once for all missed times together.

    APScheduler's own interval trigger lists every missed time before it joins them: tens of millions on a machine that
    boots in 1970 and then learns the time.
    """

    def __init__(self, interval: float) -> None:
        if interval < SHORTEST:
            raise ValueError(f"an interval of {interval} s is too short to plan with")
        self.interval = interval

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """Return the time of the run after the one planned for ``previous_fire_time``."""
        planned = now if previous_fire_time is None else previous_fire_time
        return _moment(timing.next_run(planned.timestamp(), now.timestamp(), interval=self.interval))

    def __str__(self) -> str:
        return f"every {self.interval:g} s"


class LoopExecutor(BaseExecutor):  # type: ignore[misc]  # APScheduler ships no types
    """Runs jobs as tasks of the event loop, one run of each job at a time.

    A run that falls due during the job's own run starts when that ends; several such runs become one. Everything except
    ``submit_job`` and ``shutdown`` runs on the loop, so its state needs no lock.
    """

    def __init__(self, loop: LoopThread) -> None:
        super().__init__()
        self._loop = loop
        self._registry: Any = None  # APScheduler's scheduler, once it has started
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._owed: set[str] = set()
        self._closed = False  # set from any thread, never unset

    def start(self, scheduler: Any, alias: str) -> None:
        """Remember the scheduler, which knows the registered jobs; the base class keeps it private."""
        super().start(scheduler, alias)
        self._registry = scheduler

    def submit_job(self, job: Any, run_times: object) -> None:  # noqa: ARG002 - the signature is APScheduler's
        """Pass a due job to the loop. Never raises MaxInstancesReachedError."""
        if not self._loop.call_soon(self._due, job.id):
            log.error("job_not_started", job_id=job.id, problem="the event loop is not running")

    def _do_submit_job(self, job: Any, run_times: object) -> None:
        self.submit_job(job, run_times)  # abstract in the base class, and called by its submit_job only

    def shutdown(self, wait: bool = True) -> None:  # noqa: ARG002 - the signature is APScheduler's
        """Start no more runs. Current runs go on; ``drain`` waits for them."""
        self._closed = True

    async def drain(self, grace: float) -> tuple[str, ...]:
        """Give the running jobs ``grace`` seconds, cancel the rest, and return the ids of those.

        A cancelled job has the same time again to roll back.
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
        """Run a job now, outside its plan. Raises JobRunningError, and StoppingError after ``shutdown``."""
        if self._closed:
            raise StoppingError
        if job_id in self._tasks:
            raise JobRunningError(job_id)
        task = asyncio.get_running_loop().create_task(run(), name=job_id)
        self._watch(job_id, task)
        return task

    @property
    def running(self) -> Collection[str]:
        """The ids of the jobs that are running."""
        return self._tasks.keys()

    def _due(self, job_id: str) -> None:
        if job_id in self._tasks:
            self._owed.add(job_id)
        else:
            self._begin(job_id)

    def _begin(self, job_id: str) -> None:
        """Start the job that is registered under the id now: it may have been replaced or removed since."""
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
        if owed and not task.cancelled():  # a task is cancelled only when the daemon ends
            self._begin(job_id)


class JobScheduler:
    """The schedule of all jobs. Methods may be called from any thread, unless they say otherwise.

    No method may be called from a signal handler: they take locks.
    """

    def __init__(self, loop: LoopThread) -> None:
        self._executor = LoopExecutor(loop)
        self._scheduler = BlockingScheduler(
            timezone=UTC,
            executors={"default": self._executor},
            job_defaults={"coalesce": True, "misfire_grace_time": None},
        )
        # Held while planning, and by run_forever while APScheduler starts: a job planned meanwhile would be lost, and
        # a shutdown would have no effect.
        self._gate = threading.Lock()
        self._up = False
        self._stopped = False

    def plan(self, job_id: str, run: Body, *, interval: float, first_run: float) -> None:
        """Run a job at ``first_run`` (epoch) and then every ``interval`` seconds; replaces the plan of this id."""
        trigger = Every(interval)
        with self._gate:
            if not self._up:
                self._remove(job_id)  # APScheduler replaces a job only after its start, and keeps both until then
            self._scheduler.add_job(
                run, trigger, id=job_id, name=job_id, next_run_time=_moment(first_run), replace_existing=True
            )

    def drop(self, job_id: str) -> None:
        """Remove a job from the schedule. A current run goes on; an unknown id is no error."""
        with self._gate:
            self._remove(job_id)

    def next_run(self, job_id: str) -> float | None:
        """Return the time of the job's next run (epoch); None if it is not planned."""
        return self.planned().get(job_id)

    def planned(self) -> Mapping[str, float]:
        """Return the time of each job's next run (epoch), by id."""
        with self._gate:
            return self._times()

    def bring_forward(self, job_id: str, at: float) -> None:
        """Run a job at ``at`` (epoch) if it is planned for later, and every interval from then on."""
        with self._gate:
            planned = self._times().get(job_id)
            if planned is not None and at < planned:
                self._move(job_id, at)

    def clock_stepped(self, step: float, first: str | None = None) -> None:
        """Plan every job again after a step of the wall clock by ``step`` seconds, the job ``first`` first.

        A step forward moves no plan (after_step), it only makes runs overdue. Setting the same times again would run
        jobs twice: APScheduler's thread may have started them, and planned the next run, meanwhile.
        """
        with self._gate:
            if step > 0:
                if self._up:
                    self._scheduler.wakeup()
                return
            planned = self._times()
            for job_id in sorted(planned, key=lambda job_id: job_id != first):
                self._move(job_id, timing.after_step(planned[job_id], step))

    def run_forever(self, on_started: Callable[[], object]) -> None:
        """Run in this thread until ``shutdown``; first call ``on_started`` here, then start jobs.

        May be called once. Returns at once if ``shutdown`` came first. An error of ``on_started`` ends it and is
        raised.
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
        """Start no more runs and let ``run_forever`` return, even if it has not been called yet."""
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
        """The ids of the jobs that are running. On the loop only."""
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


async def _run(job_id: str, run: Body) -> None:
    try:
        await run()
    except Exception:
        log.exception("job_failed", job_id=job_id)


def _moment(epoch: float) -> datetime:
    return datetime.fromtimestamp(min(max(epoch, 0.0), END_OF_TIME), UTC)
