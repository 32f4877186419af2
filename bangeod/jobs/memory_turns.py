"""Turns without a server, for tests: daemons that share one ``MemoryTurns`` run each job one at a time."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from bangeod.clock import Clock


class MemoryTurns:
    """The turns and the last successes. With ``forgets`` no success is known, as where it can't be noted."""

    def __init__(self, clock: Clock, *, forgets: bool = False) -> None:
        self._clock = clock
        self._forgets = forgets
        self._taken: set[str] = set()
        self._successes: dict[str, float] = {}  # monotonic

    @asynccontextmanager
    async def take(self, job_id: str) -> AsyncGenerator["MemoryTurn | None", None]:
        """Take a job's turn until the block ends; None while another has it."""
        if job_id in self._taken:
            yield None
            return
        self._taken.add(job_id)
        turn = MemoryTurn(self, job_id)
        try:
            yield turn
        finally:
            await turn.let_go()

    def since_success(self, job_id: str) -> float | None:
        at = self._successes.get(job_id)
        return None if at is None else self._clock.monotonic() - at

    def succeeded(self, job_id: str, ago: float) -> None:
        if not self._forgets:
            self._successes[job_id] = self._clock.monotonic() - ago

    def let_go(self, job_id: str) -> None:
        self._taken.discard(job_id)


class MemoryTurn:
    """One job's turn."""

    def __init__(self, turns: MemoryTurns, job_id: str) -> None:
        self._turns = turns
        self._job_id = job_id
        self._is_held = True

    async def since_success(self) -> float | None:
        return self._turns.since_success(self._job_id)

    async def succeeded(self, ago: float) -> None:
        self._turns.succeeded(self._job_id, ago)

    async def let_go(self) -> None:
        if self._is_held:  # another may have taken it since
            self._is_held = False
            self._turns.let_go(self._job_id)
