"""Writing in slices, between which the lock stays free for the web app, and the WAL kept short by checkpoints.

The web app must hardly ever meet the lock, and never for long. So a slice is sized by the time that earlier slices
took, and the lock stays free for longer than it was held. How much to do at a time, and when to checkpoint, is pure
policy (slice_size.py, CheckpointPlan): measured times are passed in. WriteGate and SliceWriter follow it; the
checkpoint itself is in checkpoint.py.

The web app waits with SQLite's standard busy handler, which does not queue: it looks again after 1, 3, 8, 18, 33 ...
ms. So a slice that ends within 8 ms costs it 8 ms at most, one that takes 9 may cost 18; and a pause must be long
enough for its next look to fall into the pause.

A checkpoint ends with the longest time for which the lock is held. So where much is written the WAL grows to some
megabytes first, beside a read mark (read_mark.py), and pages that were written again and again are moved once.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from bangeod.errors import StoreError, StoreLockedError, StoreReplacedError
from bangeod.store.port import endless
from bangeod.store.slice_size import FIRST, SliceSize
from bangeod.store.sqlite.connection import SharedFile
from bangeod.store.sqlite.giving_way import LOOK_EVERY, GivingWay
from bangeod.store.sqlite.readers import WalView
from bangeod.store.sqlite.wal_growth import WalGrowth, is_worth_a_checkpoint
from bangeod.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from sqlite3 import Connection

    from bangeod.clock import Clock

T = TypeVar("T")

# sqliteDefaultBusyCallback in SQLite's main.c: the milliseconds from one look to the next; the last value repeats.
BUSY_DELAYS = (1, 2, 5, 10, 15, 20, 25, 25, 25, 50, 50, 100)
OVERSLEPT = 1.1  # times; no sleep ends on time

# A row may touch pages of its own, and each becomes a frame of the WAL. SQLite checkpoints by itself at 1,000 frames,
# and delays the commit that reaches them, usually the web app's. This many and WAL_FRAMES stay below.
LARGEST = 350
AIM = 0.28  # of the longest time allowed: with the default of 3 ms the web app's first look, after 1 ms, succeeds
LONGEST_SHARE = 0.5  # of it, after which row-by-row work stops: its first slice was sized for whole slices
PAUSE_RATIO = 1.2  # how much longer the lock is free than it was held

WAL_FRAMES = 600  # the length of the WAL at which a checkpoint is worth its two fsyncs
LEAST_FRAMES_A_ROW = 0.25  # rows that share a page may be followed by rows that do not
FRAMES_APART = 5  # frames that a row makes in its own transaction: the table's page, and one or two of each index
LONG_WAL = 900  # frames; longer than this, and the web app's commits begin to checkpoint
SHORTEST_WAIT = 0.05  # seconds
LONGEST_WAIT = 1.0  # seconds
LOOK_AGAIN = 0.002  # seconds until a WAL that could not be emptied is looked at again
MARKED_WAL = 16 * 1024 * 1024  # bytes that it grows to beside a read mark (read_mark.py)
MARKED_FOR = 5.0  # seconds of that: others can't move anything meanwhile
MOST_WAL = 32 * 1024 * 1024  # bytes that the WAL may grow to while a reader that never ends holds it back


def pause_after(held: float) -> float:
    """Return the seconds for which the lock must stay free after it was held for ``held`` seconds."""
    return max(held * PAUSE_RATIO, next_look(held))


def next_look(held: float) -> float:
    """Return the seconds within which every process that found the lock held for ``held`` seconds looks again."""
    longest = waited = 0
    for delay in BUSY_DELAYS:
        longest = max(longest, delay)
        waited += delay
        if waited >= held * 1000:
            break
    return longest / 1000 * OVERSLEPT


class CheckpointPlan:
    """Decides when the WAL has grown enough to be worth a checkpoint.

    SQLite tells the length of the WAL only at a checkpoint; so each checkpoint teaches how many frames a row makes.
    """

    def __init__(self) -> None:
        self._frames_a_row = float(WAL_FRAMES)  # high: a checkpoint follows the first slice and tells more
        self._rows = 0  # since the WAL was last looked at
        self._length = 0  # frames when it was last looked at
        self._held_back = 0  # frames of these that can't be moved for now

    def committed(self, rows: int, *, apart: bool = False) -> bool:
        """Count a slice of ``rows`` rows, with ``apart`` one transaction each; return whether a checkpoint is due."""
        if apart:
            self._length += rows * FRAMES_APART
        else:
            self._rows += rows
        return self._expected - self._held_back >= WAL_FRAMES

    def grows(self, frames: int) -> None:
        """Take into account that the WAL has ``frames`` frames and is left to grow: a checkpoint is due later."""
        self._rows, self._length, self._held_back = 0, frames, frames

    def checkpointed(self, frames: int, *, emptied: bool) -> None:
        """Take into account that the WAL was ``frames`` frames long (negative: unknown).

        After ``emptied`` the next writer starts the WAL over.
        """
        self._held_back = 0
        if frames >= 0:
            if self._rows and not self._length:  # else the WAL may have started over: its length says little
                self._frames_a_row = max(LEAST_FRAMES_A_ROW, frames / self._rows)
            self._rows, self._length = 0, frames
        if emptied:
            self._rows = self._length = 0

    @property
    def patience(self) -> float:
        """Return how many seconds to try to empty the WAL before it may grow on.

        A short WAL can wait for the next checkpoint. A long WAL has a cause, a long read or another process's
        checkpoint; each slice then waits for that, so that the WAL grows slowly.
        """
        return LONGEST_WAIT if self._expected > LONG_WAL else SHORTEST_WAIT

    @property
    def _expected(self) -> float:
        return self._length + self._rows * self._frames_a_row


class WriteGate:
    """Lets all writes of this process through one at a time, with the pauses that the web app needs."""

    def __init__(self, file: SharedFile, clock: "Clock") -> None:
        self._file = file
        self._clock = clock
        self._turn = asyncio.Lock()
        self._free_until = 0.0  # monotonic; no write of this process earlier
        self._plan = CheckpointPlan()
        self._growth = WalGrowth()
        self._giving_way = GivingWay()
        self._checkpoint_due = False
        self._marked_at: float | None = None  # monotonic
        self._failed = False  # whether the last write failed
        self._failing = Trouble("checkpoint_failed", "checkpoint_recovered", repeats=False)

    async def write(
        self, work: "Callable[[Connection], T]", *, rows: "Callable[[T], int]", apart: bool = False
    ) -> tuple[T, float]:
        """Wait for the pause after the last write, then run ``work`` by SharedFile.write (with ``apart``: write_apart).

        ``rows`` returns from the result of ``work`` how many rows it has written.
        """
        async with self._turn:
            self._failed = True
            if self._checkpoint_due:
                await self._let_grow_or_checkpoint()
            await self._pause()
            result, held = await (self._file.write_apart(work) if apart else self._file.write(work))
            self._failed = False
            self._owe(held)
            self._checkpoint_due = self._plan.committed(rows(result), apart=apart)
            return result, held

    async def give_way(self, time_left: "Callable[[], float]") -> None:
        """Wait while others need quiet: for a part of the seconds that ``time_left`` returns, and not if it is endless.

        Not in the turn of a write: what is written at once, as a single lookup's row, does not wait.
        """
        if not self._waits(time_left()):
            return
        await self.finish()  # or the web app's commits would reach the length at which they checkpoint
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if not self._waits(time_left()):
                return

    def _waits(self, time_left: float) -> bool:
        now, view = self._clock.monotonic(), self._file.look_at_readers()
        return self._giving_way.waits(now, view, time_left=time_left, size=self._file.size)

    async def finish(self) -> None:
        """Checkpoint what the last slices left in the WAL.

        Never raises StoreError: the rows are safe in the WAL, and the next checkpoint tries again. A failure is logged.
        """
        async with self._turn:
            await self._tell_of(self._checkpoint())
            self._failed = False

    async def relieve_others(self) -> float:
        """Checkpoint what others have written, before one of them has to; return the seconds until the next look.

        Never takes the write lock, and never raises StoreError, as ``finish``.
        """
        view = self._file.look_at_readers()
        is_writing = self._turn.locked() or self._file.is_marked  # and checkpoints by itself
        if is_worth_a_checkpoint(view) and not is_writing:
            async with self._turn:
                await self._tell_of(self._file.checkpoint(may_lock=False))
            view = self._file.look_at_readers()
        return self._growth.next_look(self._clock.monotonic(), view)

    async def _tell_of(self, checkpointing: "Awaitable[object]") -> None:
        try:
            await checkpointing
        except (StoreLockedError, StoreReplacedError):  # reported when the file is next opened
            pass
        except StoreError as error:
            if not self._failed:  # else the caller of the write reports it
                self._failing.tell(error.problem, **error.log_fields())
        else:
            self._failing.is_over(database=str(self._file.path))

    def _owe(self, held: float) -> None:
        self._free_until = max(self._free_until, self._clock.monotonic() + pause_after(held))

    async def _pause(self) -> None:
        pause = self._free_until - self._clock.monotonic()
        while pause > 0:
            step = min(pause, LOOK_EVERY)
            await asyncio.sleep(step)
            self._see()
            pause -= step

    async def _let_grow_or_checkpoint(self) -> None:
        """Let the WAL grow on beside a read mark; where that can't be, or it is long by now, empty it."""
        now, view = self._clock.monotonic(), self._see()
        if self._marked_at is not None and now - self._marked_at > MARKED_FOR:
            view = None
        if view is None or view.frames * view.page_size >= MARKED_WAL:
            await self._checkpoint()
        elif self._file.is_marked or await self._mark():
            self._plan.grows(view.frames)
            self._checkpoint_due = False
        else:
            await self._checkpoint()

    async def _mark(self) -> bool:
        self._marked_at = self._clock.monotonic()
        return await self._file.mark()

    async def _checkpoint(self) -> None:
        """Empty the WAL; if other processes prevent that for long, the checkpoint stays due."""
        self._marked_at = None
        try:
            await self._empty()
        finally:
            await self._file.unmark()

    async def _empty(self) -> None:
        began = self._clock.monotonic()
        while True:
            view = self._held_back()
            if view is not None and view.frames * view.page_size < MOST_WAL:
                await self._let_grow(view)
                return
            if view is None or view.movable:  # else a checkpoint would only keep the reader's own from its work
                outcome = await self._file.checkpoint()
                self._plan.checkpointed(outcome.frames, emptied=outcome.emptied)
                self._owe(outcome.held)
                self._checkpoint_due = not outcome.emptied
                if outcome.emptied:
                    return
            if self._clock.monotonic() - began > self._plan.patience:
                return
            await asyncio.sleep(LOOK_AGAIN)

    def _held_back(self) -> WalView | None:
        """Return the state of the WAL if a reader that is not waited for keeps it from starting over."""
        view = self._see()
        return view if self._giving_way.is_held_back else None

    def _see(self) -> WalView | None:
        view = self._file.look_at_readers()
        self._giving_way.see(self._clock.monotonic(), view)
        return view

    async def _let_grow(self, view: WalView) -> None:
        """Let the WAL grow on. What can be moved is, or a commit of the web app's would do it.

        Litestream holds the write lock while it checkpoints; the WAL's fsync is done before, without it.
        """
        self._plan.grows(view.frames)
        self._checkpoint_due = False
        await self._file.sync_wal()
        if view.movable >= WAL_FRAMES:
            self._owe((await self._file.checkpoint(unmark=False)).held)


class SliceWriter:
    """Writes the slices of one operation through the gate, sized by the time that earlier slices took.

    Between two of them it gives way to others, for a part of the seconds that ``time_left`` returns.
    """

    def __init__(
        self,
        gate: WriteGate,
        max_lock_time: float,
        *,
        first: int = FIRST,
        time_left: "Callable[[], float]" = endless,
    ) -> None:
        self._gate = gate
        self._time_left = time_left
        self._size = SliceSize(max_lock_time * AIM, largest=LARGEST, first=first)
        self.longest = max_lock_time * LONGEST_SHARE  # seconds after which row-by-row work stops

    @property
    def size(self) -> int:
        return self._size.size

    async def write(self, work: "Callable[[Connection], T]", *, rows: int) -> T:
        """Commit one slice of ``rows`` rows."""
        await self._gate.give_way(self._time_left)
        result, held = await self._gate.write(work, rows=lambda _result: rows)
        self._size.measured(rows, held)
        return result

    async def write_some(self, work: "Callable[[Connection], Sequence[T]]", *, apart: bool) -> Sequence[T]:
        """Commit one slice of as many rows as ``work`` gets through; it returns one result for each."""
        await self._gate.give_way(self._time_left)
        result, held = await self._gate.write(work, rows=len, apart=apart)
        self._size.measured(len(result), held)
        return result
