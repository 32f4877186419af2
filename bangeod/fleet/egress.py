"""When a host may ask ip-api.com from a public address that it shares with others, its egress: policy, without I/O.

ip-api.com counts requests by the address that they come from. Each host says in a row of its own until when nobody who
shares the address may ask, and what was left of the window when it was last told. A host asks only under the egress's
lock, and says before its request that nobody else may ask for a window: so there is never more than one in flight, and
one that dies in between keeps the others from asking for a window at most. The request counts from then on, whether it
is answered or not. Times are seconds since the epoch by the server's clock.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from bangeod.clock import SECONDS_A_DAY
from bangeod.geo.sources.ip_api.limit import A_WINDOW, ROUNDING, WINDOW
from bangeod.geo.sources.ip_api.turns import Outcome

LONGEST_PAUSE: Final = float(SECONDS_A_DAY)  # longer than any that a daemon has written
SKEW: Final = 60.0  # seconds by which a row may be ahead of the clock: another server may have been the primary
MOST_LEFT: Final = 1_000_000  # requests; of a paid key's window, too
RETRY: Final = 0.5  # seconds: together the hosts of an egress look for their turn twice a second
IDLE: Final = 3_600.0  # seconds; a host that has said nothing for so long does not look for it


class Said(NamedTuple):
    """What one host said: a row. Anything may stand there, as infinite times."""

    writer: str
    host: str
    until: float  # nobody may ask before
    requests_left: int | None  # None where nobody knows
    window_end: float | None  # until when so many are left
    said_at: float


class Leave(NamedTuple):
    """Whether a request may be sent now, ``wait`` being 0, and what to say of the window with it."""

    wait: float  # seconds until it is worth another try
    left: int = 0  # requests left once this one is sent
    window: float = 0.0  # seconds until the window ends that they are left of
    is_known: bool = False  # ip-api.com itself, or the count of a whole window, says how many are left
    odd: Sequence[Said] = ()  # rows that no daemon has written


class Taken(NamedTuple):
    """A turn that was taken, and what it said of the window. Times are in seconds of any clock."""

    at: float
    left: int
    window_end: float
    is_known: bool


class News(NamedTuple):
    """What is known of the window, and since when. Times as in Taken."""

    left: int
    window_end: float
    at: float


class Word(NamedTuple):
    """What is said to the egress at a turn's end: until when nobody may ask, and what is known of the window now.

    Without that, what stands there already is right. Times as in Taken.
    """

    until: float
    news: News | None = None


def word_after(taken: Taken, outcome: Outcome, now: float) -> Word:
    """Return what is to be said of a request that may have been sent, by what came of it."""
    left, seconds = outcome.quota
    if left is not None:
        end = now + (WINDOW if seconds is None else seconds) + ROUNDING
        return Word(now + outcome.pause, News(left, end, now))
    # Nobody tells: then no more than a window's requests are sent until there was none for a window.
    end = max(taken.window_end, now + WINDOW + ROUNDING)
    if outcome.is_counted:
        return Word(now + outcome.pause, News(taken.left, end, now))
    # It may have been the last of a window that others have used up.
    until = now if taken.is_known else taken.at + WINDOW
    return Word(max(until, now + outcome.pause), News(taken.left, end, taken.at))


class Egress:
    """The rows of one egress, as one host reads them. Remembers since when it knows rows whose own time can't be."""

    def __init__(self) -> None:
        self._odd_since: dict[Said, float] = {}

    def leave(self, rows: Sequence[Said], now: float) -> Leave:
        """Say whether a request may be sent now."""
        odd = tuple(row for row in rows if row in self._odd_since or _is_odd(row, now))
        self._odd_since = {row: self._odd_since.get(row, now) for row in odd}
        said = [bounded(row, self._odd_since.get(row, now), now) for row in rows]
        pausing = max(said, key=lambda row: row.until, default=None)
        if pausing is not None and pausing.until > now:
            # How long a request takes nobody knows: another look after as long as it has taken so far.
            looking = sum(row.said_at > now - IDLE for row in said)
            wait = max(RETRY * max(looking, 1), now - pausing.said_at)
            return Leave(min(pausing.until - now, wait), odd=odd)
        last = _latest(said, now)
        if last is None or last.requests_left is None or last.window_end is None:
            return Leave(0.0, A_WINDOW - 1, WINDOW + ROUNDING, odd=odd)
        if last.requests_left <= 0:
            return Leave(last.window_end - now, odd=odd)
        return Leave(0.0, last.requests_left - 1, last.window_end - now, is_known=True, odd=odd)


def bounded(row: Said, since: float, now: float) -> Said:
    """Return a row as far as it can be true: no pause is longer than a day.

    What is said to be said in the future pauses for as long as it was meant to, from ``since`` on, when it was first
    read: the clock was set back, or no daemon has written it.
    """
    until, said_at, left, end = row.until, row.said_at, row.requests_left, row.window_end
    if said_at > since + SKEW:
        meant = until - said_at if math.isfinite(said_at) else LONGEST_PAUSE
        until, said_at, left, end = since + min(meant, LONGEST_PAUSE), since, None, None
    said_at = min(said_at, now)
    until = min(until, said_at + LONGEST_PAUSE)
    if left is None or end is None:
        left, end = None, None
    else:
        left, end = min(max(left, 0), MOST_LEFT), min(end, said_at + LONGEST_PAUSE)
    return row._replace(until=until, said_at=said_at, requests_left=left, window_end=end)


def _is_odd(row: Said, now: float) -> bool:
    latest = row.said_at + LONGEST_PAUSE + SKEW
    return (
        not math.isfinite(row.said_at)
        or row.said_at > now + SKEW
        or row.until > latest
        or (row.window_end is not None and row.window_end > latest)
        or (row.requests_left is not None and not 0 <= row.requests_left <= MOST_LEFT)
    )


def _latest(rows: Iterable[Said], now: float) -> Said | None:
    """Return what was said last of a window that has not ended; of two at once, the one that leaves less."""
    told = [row for row in rows if row.window_end is not None and row.window_end > now]
    return max(told, key=lambda row: (row.said_at, -(row.requests_left or 0)), default=None)
