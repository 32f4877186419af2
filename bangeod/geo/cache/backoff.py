"""Backoff and negative cache: when to ask about an unknown address again. Times passed in are monotonic seconds."""

from collections.abc import Iterable
from itertools import islice, takewhile
from typing import TypeVar

T = TypeVar("T")

FIRST_DELAY = 600.0
LONGEST_DELAY = 86_400.0
NEGATIVE_TTL = 600.0
ABANDONED = 7 * 86_400.0  # due for so long and not asked about: its row is gone, and nobody looks it up
LOOK_EVERY = 3_600.0  # seconds between two searches for abandoned addresses
DROPPED = 20_000  # addresses at most in one search, some milliseconds


def delay_after(failures: int) -> float:
    """Return the seconds to wait after this many failures in a row: 10 min, 20 min, 40 min … 24 h."""
    return min(FIRST_DELAY * 2.0 ** min(failures - 1, 20), LONGEST_DELAY)


class Backoff:
    """How often each address was asked about in vain, and when it is due again.

    Lookups and requests to the remote source keep to it; a job may ask the local sources earlier. Holds at most
    ``limit`` addresses; above it, those that failed longest ago are forgotten. An address that has been due for a week
    is forgotten too: the rows of most addresses are deleted at some point during a delay.
    """

    def __init__(self, limit: int = 500_000) -> None:
        self._limit = limit
        self._known: dict[str, tuple[int, float]] = {}  # failures in a row, when due; ordered by last failure
        self._looked = 0.0  # time of the last search for abandoned addresses

    def __len__(self) -> int:
        return len(self._known)

    def due(self, ips: Iterable[str], now: float) -> list[str]:
        """Return those that may be asked about at ``now``, in the same order."""
        return [ip for ip in ips if self.is_due(ip, now)] if self._known else list(ips)

    def is_due(self, ip: str, now: float) -> bool:
        known = self._known.get(ip)
        return known is None or known[1] <= now

    def next_delay(self, ip: str) -> float:
        """Return the seconds to wait if no source knows the address this time either."""
        return delay_after(self._known.get(ip, (0, 0.0))[0] + 1)

    def failed(self, ip: str, now: float) -> None:
        """Record that no source knew the address."""
        failures = self._known.pop(ip, (0, 0.0))[0] + 1
        self._known[ip] = (failures, now + delay_after(failures))
        _bound(self._known, self._limit)
        if now - self._looked >= LOOK_EVERY:
            self._looked = now
            self._drop_abandoned(now)

    def _drop_abandoned(self, now: float) -> None:
        known = self._known
        abandoned = takewhile(lambda ip: known[ip][1] <= now - ABANDONED, known)
        for ip in list(islice(abandoned, DROPPED)):
            del known[ip]

    def forget(self, ips: Iterable[str]) -> None:
        if not self._known:
            return
        for ip in ips:
            self._known.pop(ip, None)

    def clear(self) -> None:
        """Make every address due, as if none had ever been asked about."""
        self._known.clear()


class NegativeCache:
    """Addresses that were just not found: for a while not even the database is asked about them.

    Holds at most ``limit`` addresses; above it, the oldest are forgotten.
    """

    def __init__(self, ttl: float = NEGATIVE_TTL, limit: int = 500_000) -> None:
        self._ttl = ttl
        self._limit = limit
        self._until: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def add(self, ip: str, now: float, ttl: float | None = None) -> None:
        """Put an address in, for ``ttl`` seconds if that is not to be the usual time."""
        self._until.pop(ip, None)
        self._until[ip] = now + (self._ttl if ttl is None else ttl)
        _bound(self._until, self._limit)

    def holds(self, ip: str, now: float) -> bool:
        until = self._until.get(ip)
        if until is None:
            return False
        if until <= now:
            del self._until[ip]
            return False
        return True

    def discard(self, ip: str) -> None:
        self._until.pop(ip, None)

    def discard_all(self, ips: Iterable[str]) -> None:
        if self._until:
            for ip in ips:
                self._until.pop(ip, None)

    def clear(self) -> None:
        self._until.clear()


def _bound(known: dict[str, T], limit: int) -> None:
    """Drop the oldest keys above the limit, a twentieth of the limit at a time, since each pass walks the dict."""
    if len(known) > limit:
        for ip in list(islice(known, max(1, limit // 20))):
            del known[ip]
