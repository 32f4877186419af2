"""What a connection is made from, what it is to be like, and when a lost one is made anew. Policy, without a server."""

from dataclasses import dataclass, field
from typing import Final

APPLICATION: Final = "bangeod"  # as pg_stat_activity shows it
CONNECT_TIMEOUT: Final = 5  # seconds a host
# A host that has vanished says nothing: found out by this side after so many seconds, and by the server as well, or the
# locks of a session whose host is gone would outlive it.
KEEPALIVE_IDLE: Final = 30  # seconds without a word
KEEPALIVE_INTERVAL: Final = 10  # seconds from one try to the next
KEEPALIVE_COUNT: Final = 3  # tries
UNACKNOWLEDGED: Final = 60_000  # milliseconds that what was sent may stay unacknowledged

FIRST_WAIT: Final = 0.5  # seconds
LONGEST_WAIT: Final = 30.0  # seconds; shorter than the flush's usual interval, so that each flush finds out anew


@dataclass(frozen=True, slots=True)
class Conninfo:
    """Which server and database, as whom. Nothing of it shows the password."""

    keywords: str  # libpq's: a url or keywords, without a password
    shown: str  # how errors, logs and the status name the database; no secret in it
    password: str | None = field(default=None, repr=False)
    is_fleets: bool = False  # and not that of the web app's tables: for the advice that errors give

    def parameters(self, given: "dict[str, str | int]") -> dict[str, str | int]:
        """Return the keywords to connect with, from those that are given; what is given goes before bangeod's own."""
        own: dict[str, str | int] = {
            "application_name": APPLICATION,
            "connect_timeout": CONNECT_TIMEOUT,
            "keepalives_idle": KEEPALIVE_IDLE,
            "keepalives_interval": KEEPALIVE_INTERVAL,
            "keepalives_count": KEEPALIVE_COUNT,
            "tcp_user_timeout": UNACKNOWLEDGED,
        }
        secret = {} if self.password is None else {"password": self.password}
        return own | given | secret | {"client_encoding": "UTF8"}


def wait_after(failures: int) -> float:
    """Return the seconds until the next try to connect, after so many in a row that failed."""
    return min(FIRST_WAIT * 2.0 ** min(failures - 1, 20), LONGEST_WAIT) if failures > 0 else 0.0


class Backoff:
    """Says when the next try to connect may be made. Times are monotonic seconds, passed in."""

    def __init__(self) -> None:
        self._failures = 0
        self._not_before = 0.0

    def may_try(self, now: float) -> bool:
        return now >= self._not_before

    def failed(self, now: float) -> None:
        self._failures += 1
        self._not_before = now + wait_after(self._failures)

    def succeeded(self) -> None:
        self._failures, self._not_before = 0, 0.0
