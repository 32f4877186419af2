"""Time as bangeod passes it around: seconds since the epoch, and one text form for the database."""

import time
from datetime import UTC, datetime
from typing import Protocol

SECONDS_A_DAY = 86_400


class Clock(Protocol):
    """What the time is. Policy takes times as arguments; only the edges hold a clock."""

    def now(self) -> float:
        """Return the wall clock, in seconds since the epoch."""

    def monotonic(self) -> float:
        """Return seconds of a clock that never steps."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Return the wall clock, in seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds of a clock that never steps."""
        return time.monotonic()


def to_text(epoch: float) -> str:
    """Give a time the form that bangeod writes: ``2026-11-22T00:00:00Z`` (a fraction is dropped)."""
    return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
