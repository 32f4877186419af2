"""Jobs that one of the daemons on a database does for all of them: whose turn it is, and who has done them lately."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Protocol

from bangeod.errors import JobDoneElsewhereError, JobElsewhereError
from bangeod.jobs.job import Job, JobId, Result, Run


class Turn(Protocol):
    """The right to run a job; what is known of it on the other daemons. Its methods never raise StoreError."""

    async def since_success(self) -> float | None:
        """Return how many seconds ago the last run was begun that succeeded, on any daemon; None if nobody says."""

    async def succeeded(self, ago: float) -> None:
        """Note that a run succeeded that was begun so many seconds ago, where that can be noted."""

    async def let_go(self) -> None:
        """Give the turn up before its block ends; the rest may be asked and noted all the same."""


class JobTurns(Protocol):
    """The turns of all jobs."""

    def take(self, job_id: str) -> AbstractAsyncContextManager[Turn | None]:
        """Take a job's turn until the block ends; None while another daemon has it. Raises StoreError."""


class JobInTurn:
    """A job that is run while no other daemon runs it.

    ``is_done`` says by ``since_success`` whether another daemon has done the work of this run.
    """

    def __init__(self, job: Job, turns: JobTurns, is_done: Callable[[float], bool]) -> None:
        self._job = job
        self._turns = turns
        self._is_done = is_done

    @property
    def id(self) -> JobId:
        return self._job.id

    async def run(self, run: Run) -> Result:
        """Run it, if it is to be. Raises JobElsewhereError, and JobDoneElsewhereError."""
        began = run.clock.monotonic()
        async with self._turns.take(self.id) as turn:
            if turn is None:
                raise JobElsewhereError(self.id)
            ago = await turn.since_success()
            if ago is not None and self._is_done(ago):
                raise JobDoneElsewhereError(self.id, ago)
            result = await self._job.run(replace(run, before_network=turn.let_go))
            if result.finished:
                await turn.succeeded(run.clock.monotonic() - began)
            return result
