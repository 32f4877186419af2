"""When ip-api.com may be asked: a state machine without clock and I/O. Times passed in are monotonic seconds.

X-Rl and X-Ttl alone decide: with no requests left, nothing is sent until the next window. Without these headers the
limit is the 15 requests a minute of ip-api's documentation. A request without an answer may have been counted, so it
counts here. 429 waits for the window, 403 an hour and doubling, any other failure 10 seconds and doubling; before the
first answer at least a whole window, since nobody knows how much of it the previous process has used.
"""

from collections import deque
from enum import Enum
from typing import Final

from bangeod.geo.sources.ip_api.answer import Quota, Verdict

WINDOW: Final = 60.0  # seconds
A_WINDOW: Final = 15  # requests, without a key (ip-api.com's documentation)
ROUNDING: Final = 1.0  # X-Ttl is in whole seconds: the window may last one longer than it says
_FIRST_REFUSAL: Final = 3_600.0
_LONGEST_REFUSAL: Final = 86_400.0
_FIRST_BACKOFF: Final = 10.0
_LONGEST_BACKOFF: Final = 600.0
_MOST_DOUBLINGS: Final = 30


class Reason(Enum):
    """Why no request may be sent."""

    QUOTA = "the requests of this minute are used up"
    LIMITED = "ip-api.com says that its rate limit was passed (429)"
    REFUSED = "ip-api.com refuses this address or key (403)"
    FAILED = "the last request failed"
    RESTART = "a pause from before the restart"
    SHARED = "another host with the same public address asks it, or has used up the requests of this minute"
    AWAY = "the fleet's server does not say whether it is this host's turn"
    UNUSABLE = "the fleet's tables can't be used"


class Limit:
    """When the next request may be sent, and why not earlier."""

    def __init__(self) -> None:
        self._not_before = float("-inf")
        self._reason = Reason.QUOTA
        self._left: int | None = None  # requests left until ``_window_end``; None: not known from the server
        self._window_end = float("-inf")
        self._sent: deque[float] = deque(maxlen=A_WINDOW)
        self._knows = False  # how much is left: from the server, or by counting every request of a window
        self._refusals = 0  # in a row
        self._failures = 0  # in a row

    def wait(self, now: float) -> float:
        """Return the seconds until the next request may be sent; 0 if it may be sent now."""
        return max(0.0, self._not_before - now, self._quota_end() - now)

    def reason(self, now: float) -> Reason:
        """Return why nothing may be sent now; of several reasons the one that lasts longest."""
        return self._reason if self._not_before >= max(self._quota_end(), now) else Reason.QUOTA

    def left(self, now: float) -> int | None:
        """Return how many requests the server has left us for this minute; None where it has not said."""
        return None if self._left is None or now >= self._window_end else max(0, self._left)

    @property
    def refused(self) -> bool:
        """Say whether ip-api.com's last answer refused this address or key."""
        return self._refusals > 0

    def _quota_end(self) -> float:
        if self._left is not None:
            return self._window_end if self._left <= 0 else float("-inf")
        full = len(self._sent) == A_WINDOW
        return self._sent[0] + WINDOW if full else float("-inf")

    def pause(self, now: float, seconds: float, reason: Reason) -> None:
        """Send nothing for ``seconds``; a longer pause that is under way stays."""
        if now + seconds >= self._not_before:
            self._not_before = now + seconds
            self._reason = reason

    def lift(self, reason: Reason) -> None:
        """End a pause of this reason, if one is under way."""
        if self._reason is reason:
            self._not_before = float("-inf")

    def sent(self, now: float) -> None:
        self._sent.append(now)
        if self._left is None:
            return
        if now >= self._window_end:  # a new window, about which the server has said nothing yet
            self._left = A_WINDOW
            self._window_end = now + WINDOW + ROUNDING
        self._left -= 1

    def answered(self, now: float, verdict: Verdict, quota: Quota) -> None:
        """Note an answer, and what it says about later requests."""
        self._take(now, quota, counted=verdict is Verdict.ANSWERED)
        if verdict is Verdict.ANSWERED:
            self._refusals = self._failures = 0
        elif verdict is Verdict.LIMITED:
            seconds = WINDOW if quota.seconds is None else quota.seconds + ROUNDING
            self.pause(now, seconds, Reason.LIMITED)
        elif verdict is Verdict.REFUSED:
            self.pause(now, _doubled(_FIRST_REFUSAL, self._refusals, _LONGEST_REFUSAL), Reason.REFUSED)
            self._refusals += 1
        else:
            self.failed(now)

    def failed(self, now: float) -> None:
        """Note a request that failed: no answer, or none that makes sense."""
        self.pause(now, _doubled(_FIRST_BACKOFF, self._failures, _LONGEST_BACKOFF), Reason.FAILED)
        self._failures += 1
        self.broken_off(now)

    def broken_off(self, now: float) -> None:
        """Note a request whose caller stopped waiting for the answer: it may have been the last of the window."""
        if not self._knows:
            self.pause(now, WINDOW, Reason.FAILED)

    def _take(self, now: float, quota: Quota, *, counted: bool) -> None:
        self._knows = self._knows or counted or quota.left is not None
        if quota.left is not None:
            self._left = quota.left
            seconds = WINDOW if quota.seconds is None else quota.seconds
            self._window_end = now + seconds + ROUNDING
        elif counted:  # a good answer without headers: the server does not tell, so we count
            self._left = None


def _doubled(first: float, times: int, longest: float) -> float:
    return min(first * (1 << min(times, _MOST_DOUBLINGS)), longest)
