"""Writing in slices: between two of them the lock stays free for the web app, and the log is kept short."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import structlog

from bangeod.errors import StoreError, StoreLockedError, StoreReplacedError
from bangeod.store.checkpoint import checkpoint
from bangeod.store.connection import SharedFile
from bangeod.store.slicing import FIRST, LONGEST_SHARE, CheckpointPlan, Slicer, pause_after

if TYPE_CHECKING:
    from collections.abc import Callable
    from sqlite3 import Connection

    from bangeod.clock import Clock

T = TypeVar("T")

log = structlog.get_logger(__name__)

LOOK_AGAIN = 0.002  # seconds until a log that could not be emptied is looked at again


class WriteGate:
    """Through it goes every write of this process, one at a time, with the pauses that they owe the web app."""

    def __init__(self, file: SharedFile, clock: "Clock") -> None:
        self._file = file
        self._clock = clock
        self._turn = asyncio.Lock()
        self._free_until = 0.0  # monotonic; no write of ours before
        self._plan = CheckpointPlan()
        self._checkpoint_due = False
        self._failed = False  # the last write did; whoever asked for it says so
        self._problem: str | None = None  # why the last checkpoint failed

    async def write(
        self, work: "Callable[[Connection], T]", *, rows: "Callable[[T], int]", apart: bool = False
    ) -> tuple[T, float]:
        """Pay what the last write owes, then run ``work`` as SharedFile.write does, or with ``apart`` write_apart.

        ``rows`` tells from its result how many rows it has written.
        """
        async with self._turn:
            self._failed = True
            if self._checkpoint_due:
                await self._checkpoint()
            await self._pause()
            result, held = await (self._file.write_apart(work) if apart else self._file.write(work))
            self._failed = False
            self._owe(held)
            self._checkpoint_due = self._plan.committed(rows(result), apart=apart)
            return result, held

    async def finish(self) -> None:
        """Checkpoint what the last slices left in the log.

        No error: what they wrote is in the log, and the next checkpoint tries again. But a disk that fails is told of.
        """
        async with self._turn:
            try:
                await self._checkpoint()
            except (StoreLockedError, StoreReplacedError):  # whoever opens the file next says so
                pass
            except StoreError as error:
                self._tell(error)
            else:
                if self._problem is not None:
                    self._problem = None
                    log.info("checkpoint_recovered", database=str(self._file.path))
            self._failed = False

    def _tell(self, error: StoreError) -> None:
        """Say what is wrong, once; where the write has failed as well, that says it."""
        if not self._failed and error.problem != self._problem:
            log.warning("checkpoint_failed", problem=error.problem, advice=error.advice, **error.fields())
            self._problem = error.problem

    def _owe(self, held: float) -> None:
        self._free_until = max(self._free_until, self._clock.monotonic() + pause_after(held))

    async def _pause(self) -> None:
        pause = self._free_until - self._clock.monotonic()
        if pause > 0:
            await asyncio.sleep(pause)

    async def _checkpoint(self) -> None:
        """Empty the log; where others are in the way for long that stays due."""
        began = self._clock.monotonic()
        while True:
            outcome = await self._file.maintain(checkpoint)
            self._plan.checkpointed(outcome.frames, emptied=outcome.emptied)
            self._owe(outcome.held)
            self._checkpoint_due = not outcome.emptied
            if outcome.emptied or self._clock.monotonic() - began > self._plan.patience:
                return
            await asyncio.sleep(LOOK_AGAIN)


class SliceWriter:
    """The slices of one operation: the gate, and a size that follows what the slices take."""

    def __init__(self, gate: WriteGate, max_lock_time: float, *, first: int = FIRST) -> None:
        self._gate = gate
        self._slicer = Slicer(max_lock_time, first)
        self.longest = max_lock_time * LONGEST_SHARE  # seconds; what can stop between two rows stops then

    @property
    def size(self) -> int:
        """Return how many rows the next slice may have."""
        return self._slicer.size

    async def write(self, work: "Callable[[Connection], T]", *, rows: int) -> T:
        """Commit one slice of ``rows`` rows."""
        result, held = await self._gate.write(work, rows=lambda _result: rows)
        self._slicer.measured(rows, held)
        return result

    async def write_some(self, work: "Callable[[Connection], Sequence[T]]", *, apart: bool) -> Sequence[T]:
        """Commit one slice of as many rows as ``work`` gets through; it returns something for each."""
        result, held = await self._gate.write(work, rows=len, apart=apart)
        self._slicer.measured(len(result), held)
        return result
