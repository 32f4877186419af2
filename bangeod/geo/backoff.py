"""When an address that no source knows may be asked about again. Time is passed in, in seconds that never step."""

from collections.abc import Iterable
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

FIRST_DELAY = 600.0
LONGEST_DELAY = 86_400.0
NEGATIVE_TTL = 600.0


def delay_after(failures: int) -> float:
    """Return the seconds to wait after so many failures in a row: 10 min, 20 min, 40 min … 24 h."""
    return min(FIRST_DELAY * 2.0 ** min(failures - 1, 20), LONGEST_DELAY)


class Backoff:
    """How often each address was asked about in vain, and from when on it is due again.

    Binds every caller. Holds at most ``limit`` addresses; above it those that failed longest ago are forgotten.
    """

    def __init__(self, limit: int = 500_000) -> None:
        self._limit = limit
        self._known: dict[str, tuple[int, float]] = {}  # failures in a row, due; in the order of the last failure

    def __len__(self) -> int:
        return len(self._known)

    def is_due(self, ip: str, now: float) -> bool:
        """Say whether the address may be asked about."""
        known = self._known.get(ip)
        return known is None or known[1] <= now

    def failed(self, ip: str, now: float) -> None:
        """Take note that no source knew the address."""
        failures = self._known.pop(ip, (0, 0.0))[0] + 1
        self._known[ip] = (failures, now + delay_after(failures))
        _bound(self._known, self._limit)

    def forget(self, ips: Iterable[str]) -> None:
        """Drop addresses that were resolved, or whose rows are gone."""
        for ip in ips:
            self._known.pop(ip, None)


class NegativeCache:
    """Addresses that were just not found: for a while not even the database is asked about them.

    Holds at most ``limit`` addresses; above it the oldest are forgotten.
    """

    def __init__(self, ttl: float = NEGATIVE_TTL, limit: int = 500_000) -> None:
        self._ttl = ttl
        self._limit = limit
        self._until: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def add(self, ip: str, now: float) -> None:
        """Remember that an address was not found."""
        self._until.pop(ip, None)
        self._until[ip] = now + self._ttl
        _bound(self._until, self._limit)

    def holds(self, ip: str, now: float) -> bool:
        """Say whether an address was not found lately."""
        until = self._until.get(ip)
        if until is None:
            return False
        if until <= now:
            del self._until[ip]
            return False
        return True

    def discard(self, ip: str) -> None:
        """Forget one address."""
        self._until.pop(ip, None)

    def clear(self) -> None:
        """Forget all."""
        self._until.clear()


def _bound(known: dict[str, T], limit: int) -> None:
    """Keep to a limit: what was put in first goes, a twentieth at a time, since each time costs a walk."""
    if len(known) > limit:
        for ip in list(islice(known, max(1, limit // 20))):
            del known[ip]
