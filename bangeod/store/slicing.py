"""How much to do under the write lock at a time, and when to checkpoint: pure policy, measured times passed in.

The web app must hardly ever meet the lock, and never for long. So a slice is sized by what the last ones took,
and the lock stays free for longer than it was held.

The web app waits with SQLite's standard busy handler, which does not queue: it looks again after 1, 3, 8, 18, 33 ...
ms. So a slice that ends within 8 ms costs it 8 ms at most, one that takes 9 may cost 18; and a pause must be long
enough for its next look to fall into it.
"""

# sqliteDefaultBusyCallback in SQLite's main.c: the milliseconds from one look to the next, the last one for ever.
BUSY_DELAYS = (1, 2, 5, 10, 15, 20, 25, 25, 25, 50, 50, 100)
OVERSLEPT = 1.1  # times; no sleep ends on time

SMALLEST = 1
# A row may touch pages of its own, and each becomes a frame of the log. SQLite's own checkpoint comes at 1,000 frames,
# on the time of whoever commits then: the web app, as a rule. This many and WAL_FRAMES stay below.
LARGEST = 350
FIRST = 50
GROWTH = 2.0  # a slice is at most this much larger than the last one
AIM = 0.28  # of the longest time allowed: with the default of 10 ms the web app looks again at 3 ms
LONGEST_SHARE = 0.5  # of it, after which what goes row by row stops: a first slice of that kind was sized for another
SMOOTHING = 0.5  # the weight of the newest measurement
PAUSE_RATIO = 1.2  # how much longer the lock is free than it was held

WAL_FRAMES = 600  # the length of the log at which a checkpoint is worth its two fsyncs
LEAST_FRAMES_A_ROW = 0.25  # rows that shared a page may be followed by some that do not
FRAMES_APART = 5  # that a row makes in a transaction of its own: the table's page, and one or two of each index
LONG_LOG = 900  # frames; longer than this, and the web app's commits begin to checkpoint
SHORTEST_WAIT = 0.05  # seconds
LONGEST_WAIT = 1.0  # seconds


class Slicer:
    """Chooses the number of rows of each slice so that it holds the lock for hardly ever more than ``longest``."""

    def __init__(self, longest: float, first: int = FIRST) -> None:
        self._target = longest * AIM
        self._per_row: float | None = None  # seconds
        self._size = first

    @property
    def size(self) -> int:
        """Return how many rows the next slice may have."""
        return self._size

    def measured(self, rows: int, held: float) -> None:
        """Take into account that ``rows`` rows held the lock for ``held`` seconds."""
        if rows <= 0:
            return
        newest = max(held, 1e-6) / rows
        known = self._per_row
        self._per_row = newest if known is None else known + SMOOTHING * (newest - known)
        # One slice that took far too long says more than the average: the size follows the slower of the two.
        wanted = self._target / max(self._per_row, newest)
        self._size = int(max(SMALLEST, min(wanted, self._size * GROWTH, LARGEST)))


def pause_after(held: float) -> float:
    """Return the seconds for which the lock must stay free after it was held for ``held`` seconds."""
    return max(held * PAUSE_RATIO, next_look(held))


def next_look(held: float) -> float:
    """Return the seconds within which all who found the lock held for ``held`` seconds look again."""
    longest = waited = 0
    for delay in BUSY_DELAYS:
        longest = max(longest, delay)
        waited += delay
        if waited >= held * 1000:
            break
    return longest / 1000 * OVERSLEPT


class CheckpointPlan:
    """Says when the write-ahead log has grown enough to be worth a checkpoint.

    SQLite does not tell how long the log is, short of a checkpoint; so each checkpoint's figure teaches how many
    frames a row makes.
    """

    def __init__(self) -> None:
        self._frames_a_row = float(WAL_FRAMES)  # the first slice is followed by a checkpoint, to learn from
        self._rows = 0  # since the log was looked at
        self._length = 0  # frames by then

    def committed(self, rows: int, *, apart: bool = False) -> bool:
        """Count a slice of so many rows, or so many transactions of one row; return whether a checkpoint is due."""
        if apart:
            self._length += rows * FRAMES_APART
        else:
            self._rows += rows
        return self._expected >= WAL_FRAMES

    def checkpointed(self, frames: int, *, emptied: bool) -> None:
        """Take into account that the log was ``frames`` frames long, less than 0 where that can't be told.

        Where it was emptied, the next writer begins it anew.
        """
        if frames >= 0:
            if self._rows and not self._length:  # else it may have started over meanwhile, and the figure says little
                self._frames_a_row = max(LEAST_FRAMES_A_ROW, frames / self._rows)
            self._rows, self._length = 0, frames
        if emptied:
            self._rows = self._length = 0

    @property
    def patience(self) -> float:
        """For how many seconds to try to have the log start over, before it may grow on.

        A short one can wait for the next checkpoint. A long one is long because somebody reads for a while, or
        checkpoints it himself; each slice then waits for that, so that the log grows slowly.
        """
        return LONGEST_WAIT if self._expected > LONG_LOG else SHORTEST_WAIT

    @property
    def _expected(self) -> float:
        return self._length + self._rows * self._frames_a_row
