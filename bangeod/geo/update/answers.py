"""What the answers of a download server mean, and what the user can do about errors: pure policy."""

import calendar
from email.utils import parsedate
from enum import Enum
from typing import Final

from bangeod.errors import SourceError

MAX_REDIRECTS: Final = 3  # MaxMind needs one

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_TO_ACCOUNTS: Final = {
    401: "refused account_id or license_key of [geo.update]: compare them with "
    "https://www.maxmind.com/en/accounts/current/license-key; a new key takes some minutes to be known",
    403: "refused this account: log in at https://www.maxmind.com, and see whether its licence is accepted "
    "and the key may download databases",
    429: "lets each account download so often a day: try again tomorrow",
}
_TO_ALL: Final = {
    404: "has no such database any more: see for a newer bangeod",
    407: "lies behind a proxy that wants a login: set https_proxy to http://USER:PASSWORD@HOST:PORT",
    410: "has no such database any more: see for a newer bangeod",
    429: "has had too many requests from here: try again tomorrow",
}


class UpdateError(SourceError):
    """A database could not be fetched or installed; the existing file is unchanged."""


class Advice(Enum):
    """What to do with an answer."""

    TAKE = "take"
    UNCHANGED = "unchanged"
    FOLLOW = "follow"
    NOT_THERE = "not there"
    GIVE_UP = "give up"


def judge(status: int, last_modified: float | None, since: float | None) -> Advice:
    """Decide what to do with an answer; both times in epoch seconds, ``since`` that of the existing file.

    A server that ignores If-Modified-Since still says how old its file is.
    """
    match status:
        case 200 if last_modified is not None and since is not None and last_modified <= since:
            return Advice.UNCHANGED
        case 200:
            return Advice.TAKE
        case 304 if since is not None:
            return Advice.UNCHANGED
        case 404 | 410:
            return Advice.NOT_THERE
    return Advice.FOLLOW if status in _REDIRECTS else Advice.GIVE_UP


def explain(status: int, host: str, *, to_account: bool) -> str:
    """Explain an answer without a database, and what to do; ``to_account`` if credentials were sent."""
    problem = (_TO_ACCOUNTS.get(status) if to_account else None) or _TO_ALL.get(status)
    if problem is None and status >= 500:  # noqa: PLR2004 - where HTTP's server errors begin
        problem = "has a fault of its own: try again later"
    problem = problem or "answered what is not understood: try again later; where that stays, see for a newer bangeod"
    return f"{host} {problem} (status {status})"


def parse_time(header: str | None) -> float | None:
    """Parse an HTTP time into epoch seconds; None where it is not one, or one that no file can have."""
    fields = parsedate(header) if header else None
    if fields is None:
        return None
    try:
        seconds = calendar.timegm(fields)
    except (ValueError, OverflowError):
        return None
    return float(seconds) if 0 < seconds < 1 << 33 else None
