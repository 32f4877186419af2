"""When a job that writes in many slices keeps quiet for others who read the database: policy, with time passed in.

`.backup` and its like copy some pages at a time, and begin anew after each commit of another process: beside thousands
of small commits they never end. A long read in one transaction, as `VACUUM INTO` makes, is not disturbed; but while it
lasts the WAL can't start over, and grows. Both are seen by their read locks (readers.py): who holds one at most looks
is stepping through the database, who holds the same one for long is standing in it. Writing pauses for them until they
are gone.

Who has been standing there since before the writing began, and whoever does not end in time, is ignored from then on:
a replicator as Litestream keeps a transaction open for good. Nor is there a pause while others commit all the time, for
a copy would begin anew anyway.

What is not noticed, as a copy that sleeps between its steps, has a gap now and then: a pause in which a whole copy
fits. If nobody reads at its begin, it ends at once.
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from bangeod.store.sqlite.readers import Reader, WalView

LOOK_EVERY: Final = 0.005  # seconds between two looks during a pause
NEW_RUN: Final = 2.0  # seconds without a look, after which nothing of before counts

WINDOW: Final = 1.0  # seconds of looks that are remembered, and
APART: Final = 0.004  # seconds between two of them; looks in between say nothing new of who reads for long
ENOUGH_TIME: Final = 0.15  # seconds of them, and
ENOUGH_LOOKS: Final = 20  # so many, before anything is said of who is stepping
STEPPING: Final = 0.2  # share of the looks at which a stepping reader is seen; `.backup` is at nearly all
ENOUGH_STATES: Final = 3  # of the database that a stepping reader is seen to read
STANDING: Final = 0.3  # seconds for which a standing reader has read the same state
FROM_BEFORE: Final = 0.3  # seconds from the first look: who has been standing since then was there before
FORGOTTEN: Final = 1.0  # seconds without being seen, after which a process is no longer ignored

LONGEST_PAUSE: Final = 10.0  # seconds
GONE: Final = 0.1  # seconds without being seen, after which a reader is gone
SHARE_OF_RUN: Final = 0.3  # of a run's time that all its pauses may take

COPY_SPEED: Final = 400e6  # bytes a second, of a backup to a usual disk
GAP_FOR_COPY: Final = 1.5  # times its duration: at the gap's begin it is in the midst of one that is lost
SHORTEST_GAP: Final = 1.25  # seconds: a fifth of the time, with GAP_EVERY; what copies slowly gets through, too
GAP_EVERY: Final = 5.0  # seconds of writing, at least
GAP_SHARE: Final = 0.2  # of the time that gaps may take
NEEDED_BY: Final = 0.15  # seconds from a gap's begin, in which somebody must be seen reading
LEFT_AFTER_GAP: Final = 1.0  # times its duration, that must be left of the run's time
FREE_COMMITS: Final = 2  # of others during a pause, that do not count


class _Look(NamedTuple):
    at: float
    readers: frozenset[Reader]

    @property
    def processes(self) -> frozenset[int]:
        return frozenset(reader.process for reader in self.readers)


class ReaderWatch:
    """Tells from many looks who reads for long. Times are monotonic seconds."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._looks: deque[_Look] = deque()
        self._since: dict[Reader, float] = {}  # the readers of the last look, and when each came
        self._behind: list[Reader] = []  # those of them that do not know the newest commit
        self._stood: set[int] = set()  # the processes that were ever found standing
        self._ignored: dict[int, float] = {}  # processes, and when each was last seen

    def see(self, now: float, view: WalView) -> None:
        """Take a look into account."""
        look = _Look(now, frozenset(view.readers))
        if not self._looks or now - self._looks[-1].at >= APART:
            self._looks.append(look)
        while now - self._looks[0].at > WINDOW:
            self._looks.popleft()
        self._since = {reader: self._since.get(reader, now) for reader in view.readers}
        self._behind = [reader for reader in view.readers if view.is_behind(reader)]
        if not (view.readers or self._ignored):  # nearly always
            return
        self._ignored |= dict.fromkeys(look.processes & self._ignored.keys(), now)
        self._ignored = {process: at for process, at in self._ignored.items() if now - at < FORGOTTEN}
        standing = self._standing(now)
        self._stood.update(reader.process for reader in standing)
        self.ignore(now, (one.process for one in standing if self._since[one] - self._began <= FROM_BEFORE))

    def ignore(self, now: float, processes: Iterable[int]) -> None:
        """Wait for these no more, until they have been gone for a while."""
        self._ignored |= dict.fromkeys(processes, now)

    def forget_looks(self) -> None:
        """Let nothing seen so far count."""
        self._looks.clear()
        self._since.clear()
        self._behind = []

    def stepping(self) -> frozenset[int]:
        """Return the processes that step through the database, if one of them was seen at the last look."""
        looks = self._looks
        if len(looks) < ENOUGH_LOOKS or not looks[-1].readers or looks[-1].at - looks[0].at < ENOUGH_TIME:
            return frozenset()
        return frozenset(filter(self._is_stepping, looks[-1].processes - self.ignored))

    def _is_stepping(self, process: int) -> bool:
        states = [[reader for reader in look.readers if reader.process == process] for look in self._looks]
        often = sum(map(bool, states)) >= STEPPING * len(states)
        return often and len({reader for read in states for reader in read}) >= ENOUGH_STATES

    def standing(self, now: float) -> frozenset[int]:
        """Return the processes that stand in the database."""
        return frozenset(reader.process for reader in self._standing(now)) - self.ignored

    @property
    def ignored(self) -> frozenset[int]:
        """Return the processes that are not waited for."""
        return frozenset(self._ignored)

    @property
    def holds_back(self) -> bool:
        """Say whether one that is ignored, and stands again and again, keeps the WAL from starting over."""
        return any(reader.process in self._stood & self._ignored.keys() for reader in self._behind)

    def looks_with_readers(self, since: float) -> int:
        """Return at how many looks from ``since`` on somebody was seen who is not ignored."""
        return sum(look.at >= since and bool(look.processes - self.ignored) for look in self._looks)

    def saw(self, processes: frozenset[int], since: float) -> bool:
        """Say whether one of these was seen at or after ``since``."""
        return any(look.at >= since and not processes.isdisjoint(look.processes) for look in self._looks)

    def _standing(self, now: float) -> list[Reader]:
        return [reader for reader in self._behind if now - self._since[reader] >= STANDING]


@dataclass(frozen=True, slots=True)
class _Pause:
    since: float
    until: float
    copy: float  # seconds that a copy takes
    awaited: frozenset[int] = frozenset()  # the readers that it is for; none: it is a gap
    commits: int | None = None  # WalView.commits at its begin, where others' commits make it useless


class GivingWay:
    """Decides when to keep quiet: ``waits`` is asked before each slice, and again and again while it says so.

    Times are monotonic seconds. One for all jobs of a store, since they disturb others together.
    """

    def __init__(self) -> None:
        self._last = -math.inf  # when somebody asked or looked last
        self._began = -math.inf
        self._wrote_from = -math.inf  # the end of the last pause in which a copy had time
        self._paused = 0.0  # seconds of ended pauses
        self._pause: _Pause | None = None
        self._watch = ReaderWatch(-math.inf)

    def see(self, now: float, view: WalView | None) -> None:
        """Take a look into account; None where nothing could be seen."""
        if now - self._last > NEW_RUN:
            self._began = self._wrote_from = now
            self._paused, self._pause, self._watch = 0.0, None, ReaderWatch(now)
        self._last = now
        if view is not None:
            self._watch.see(now, view)

    def waits(self, now: float, view: WalView | None, *, time_left: float, size: int) -> bool:
        """Return whether the next slice waits at ``now``.

        ``time_left`` is that of the run, in seconds; one without end never waits. ``size`` is the database's, in bytes.
        """
        self.see(now, view)
        if not 0 < time_left < math.inf:
            return False
        if self._pause is not None:
            if now < self._pause.until and self._is_needed(self._pause, now, view):
                return True
            self._end(self._pause, now)
        self._pause = self._next(now, view, time_left, max(size, 1) / COPY_SPEED)
        return self._pause is not None

    @property
    def is_held_back(self) -> bool:
        """Say whether, at the last look, the WAL could not start over because of a reader that is not waited for."""
        return self._watch.holds_back

    def _next(self, now: float, view: WalView | None, time_left: float, copy: float) -> _Pause | None:
        """Return the pause that begins at ``now``."""
        allowed = min(LONGEST_PAUSE, SHARE_OF_RUN * (now - self._began + time_left) - self._paused)
        stepping, standing = self._watch.stepping(), self._watch.standing(now)
        if (stepping or standing) and allowed > 0:
            disturbed = view.commits if view is not None and not standing else None
            return _Pause(now, now + allowed, copy, stepping | standing, disturbed)
        gap = max(SHORTEST_GAP, GAP_FOR_COPY * copy)
        is_due = now - self._wrote_from >= max(GAP_EVERY, gap * (1 / GAP_SHARE - 1))
        if is_due and gap <= allowed and gap * (1 + LEFT_AFTER_GAP) <= time_left:
            return _Pause(now, now + gap, copy, commits=view.commits if view is not None else None)
        return None

    def _is_needed(self, pause: _Pause, now: float, view: WalView | None) -> bool:
        if view is None:  # not now, or never: then it is a gap, and whole
            return True
        if pause.commits is not None and view.commits - pause.commits > FREE_COMMITS + (now - pause.since) / pause.copy:
            return False
        if pause.awaited:
            return now - pause.since < GONE or self._watch.saw(pause.awaited, now - GONE)
        if self._watch.stepping() or self._watch.standing(now):
            return False  # a pause for them follows
        return now - pause.since < NEEDED_BY or self._watch.looks_with_readers(pause.since) > 1

    def _end(self, pause: _Pause, now: float) -> None:
        self._pause = None
        self._paused += now - pause.since
        if self._watch.saw(pause.awaited, now - GONE):
            self._watch.ignore(now, pause.awaited)
        if pause.awaited:
            self._watch.forget_looks()
        if not pause.awaited or now - pause.since >= GAP_FOR_COPY * pause.copy:
            self._wrote_from = now
