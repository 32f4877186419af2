"""When to look how long others have made the WAL: policy, with time passed in.

A commit of the web app's that finds 1,000 frames in the WAL checkpoints, with two fsyncs on the web app's time and with
the web app's SQLite, which may have the WAL-reset bug (checkpoint.py). So bangeod checkpoints before. It looks the more
often the faster the WAL grows, and seldom while nobody writes: a look reads 136 bytes of memory and writes nothing.
"""

from typing import Final

from bangeod.store.sqlite.readers import WalView

LONG: Final = 600  # frames from which it is worth two fsyncs; the web app checkpoints at 1,000
SHORTEST: Final = 0.05  # seconds
LONGEST: Final = 5.0  # seconds
SHARE: Final = 0.5  # of the time until the WAL is long, if it goes on growing as fast as it did
FORGETTING: Final = 0.5  # of a higher speed of before that stays from look to look


class WalGrowth:
    """How fast the WAL grows by the commits of others."""

    def __init__(self) -> None:
        self._seen: WalView | None = None
        self._at = 0.0  # monotonic
        self._speed = 0.0  # frames a second

    def next_look(self, now: float, view: WalView | None) -> float:
        """Return the seconds until the next look, after one at ``now`` that has shown ``view``."""
        if view is None:
            return LONGEST
        if self._seen is not None and now > self._at:
            went_on = view.salt == self._seen.salt and view.frames >= self._seen.frames
            grown = view.frames - self._seen.frames if went_on else view.frames
            self._speed = max(grown / (now - self._at), self._speed * FORGETTING)
        self._seen, self._at = view, now
        left = LONG - (0 if view.starts_over else view.frames)
        wait = SHARE * left / self._speed if self._speed else LONGEST
        return max(SHORTEST, min(wait, LONGEST))


def is_worth_a_checkpoint(view: WalView | None) -> bool:
    """Say whether the WAL is long enough, and something of it can be moved."""
    return view is not None and view.frames >= LONG and view.movable > 0
