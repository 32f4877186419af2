"""How long the event loop's steps take: while one runs, nothing else on the loop does."""

import asyncio
import time
from types import TracebackType
from typing import Any, Final, Self

ORIGINAL: Final[Any] = asyncio.Handle._run


class StepMonitor:
    """Measures every callback that event loops of this process run while the ``with`` block lasts."""

    def __init__(self) -> None:
        self.durations: list[float] = []  # seconds
        self._measuring = False

    def __enter__(self) -> Self:
        original, durations, now = ORIGINAL, self.durations, time.perf_counter

        def run(handle: Any) -> None:
            began = now()
            original(handle)
            if self._measuring:  # else the block ended in this very step, and the rest of it isn't meant
                durations.append(now() - began)

        self._measuring = True
        asyncio.Handle._run = run  # type: ignore[method-assign,assignment] # there is no hook for it outside of debug mode
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._measuring = False
        asyncio.Handle._run = ORIGINAL  # type: ignore[method-assign] # as above

    def share(self, part: float) -> float:
        """Return the duration that this part of the steps stays within."""
        return share(self.durations, part)


def share(durations: list[float], part: float) -> float:
    """Return the duration that this part of them stays within; of none, 0."""
    if not durations:
        return 0.0
    ordered = sorted(durations)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]
