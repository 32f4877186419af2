"""A schedule in the test's hand: it plans as JobScheduler does, and a run comes when the test lets time go on to it."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass

from bangeod.service.schedule import timing as policy
from tests.support.manual_clock import ManualClock


@dataclass
class _Planned:
    run: Callable[[], Awaitable[object]]
    interval: float
    at: float  # seconds since the epoch


class ManualSchedule:
    """In the place of JobScheduler, for one that has no threads."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._jobs: dict[str, _Planned] = {}
        self.running: Collection[str] = ()

    # --- what the daemon does with it; see JobScheduler ---

    def plan(self, job_id: str, run: Callable[[], Awaitable[object]], *, interval: float, first_run: float) -> None:
        self._jobs[job_id] = _Planned(run, interval, first_run)

    def drop(self, job_id: str) -> None:
        self._jobs.pop(job_id, None)

    def next_run(self, job_id: str) -> float | None:
        return self.planned().get(job_id)

    def planned(self) -> Mapping[str, float]:
        return {job_id: job.at for job_id, job in self._jobs.items()}

    def bring_forward(self, job_id: str, at: float) -> None:
        if job_id in self._jobs:
            self._jobs[job_id].at = min(at, self._jobs[job_id].at)

    def clock_stepped(self, step: float, first: str | None = None) -> None:
        for job in self._jobs.values():
            job.at = policy.after_step(job.at, step)

    def shutdown(self) -> None:
        self._jobs.clear()

    async def drain(self, grace: float) -> tuple[str, ...]:
        return ()

    # --- what the test does with it ---

    def next_due(self) -> float:
        """Return when the next run is due, in seconds since the epoch; infinite where none is planned."""
        return min((job.at for job in self._jobs.values()), default=float("inf"))

    async def run_next(self) -> str:
        """Let time go on until the next run is due, have it run, and return the job's id."""
        job_id = min(self._jobs, key=lambda job_id: self._jobs[job_id].at)
        job = self._jobs[job_id]
        self._clock.advance(max(0.0, job.at - self._clock.now()))
        job.at = policy.next_run(job.at, self._clock.now(), interval=job.interval)
        await job.run()
        return job_id
