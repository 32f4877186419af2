"""Clocks, and the text form of a time in the database; everywhere else a time is seconds since the epoch."""

import time
from datetime import UTC, datetime
from typing import Protocol

SECONDS_A_DAY = 86_400


class Clock(Protocol):
    """The current time. Policy takes times as arguments; only the outer parts hold a clock."""

    def now(self) -> float:
        """Return the wall clock, in seconds since the epoch."""

    def monotonic(self) -> float:
        """Return a clock that never steps, in seconds."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


def to_text(epoch: float) -> str:
    """Return a time as bangeod writes it: ``2026-11-22T00:00:00Z`` (the fraction is dropped)."""
    return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
