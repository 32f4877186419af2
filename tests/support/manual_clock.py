"""Time that stands still until a test moves it: clocks, and deadlines of asyncio."""

import asyncio


class ManualClock:
    """Wall clock and monotonic clock; they move together, or the wall clock alone."""

    def __init__(self, now: float = 1_800_000_000.0, monotonic: float = 1_000.0) -> None:
        self._now = now
        self._monotonic = monotonic

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
        self._monotonic += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock."""
        self._now += seconds


class Deadlines:
    """In the place of ``asyncio.timeout``: a deadline passes when the test says so."""

    def __init__(self) -> None:
        self._make = asyncio.timeout
        self._last: asyncio.Timeout | None = None

    def __call__(self, _: float | None) -> asyncio.Timeout:
        self._last = self._make(None)
        return self._last

    def expire(self) -> None:
        assert self._last
        self._last.reschedule(asyncio.get_running_loop().time())
