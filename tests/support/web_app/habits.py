"""What a stand-in of the web app is told to do, and what it tells of that: both ends of its pipes hold to this."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from bangeod.client import Entry

OWN_COUNTRY = "AQ"  # no source has the addresses there that it gets
STALE_COUNTRY = "CL"
LONG_AGO, EVER = "2001-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
REGULARS = [f"8.8.{number}.8" for number in range(100)]  # looked up all the time by one with a lifetime; they last


class Habits(msgspec.Struct, frozen=True, kw_only=True):
    """What it does by itself, again and again. Without any it runs the statements that it is given, as all do."""

    every: float = 0.005  # seconds between two acts
    sessions: bool = False  # an act is a transaction that adds a live session
    rows: bool = False  # and a row with OWN_COUNTRY
    resolves: Sequence[str] = ()  # and gives one of these, which have rows, OWN_COUNTRY where it has none yet
    meddling: bool = False  # and adds and changes whatever can get into a job's way; reopens the database now and then
    seed: int = 0  # of the chance that decides on the meddling
    first: int = 0  # its acts have the numbers from this one on,
    step: int = 1  # each by so much higher than the one before: of several, each has its own
    # For measurements: it opens the database as a web app does, with Python's own SQLite at that library's defaults;
    # acts begin ``every`` so often; what is refused as locked counts as such; nothing is told before the end.
    measured: bool = False
    # An act adds a session and some rows that last so many seconds at most, and half of that at least, and looks up
    # REGULARS. That of a row is ``last_seen``, which lies as far back as the shortest retention allows.
    lifetime: int | None = None
    socket: str | None = None  # the daemon's
    asks: Sequence[str] = ()  # an act looks one more address up, of networks such as "20.7"
    different: int | None = None  # addresses to look up before it begins again; all of the networks where None


class Begun(msgspec.Struct, tag=True):
    """It is there, and begins."""


class Rows(msgspec.Struct, tag=True):
    """What a statement has returned, which is committed."""

    rows: list[list[Any]]


class Commit(msgspec.Struct, tag=True, gc=False):
    """The transaction of this number. What it names was there when it committed."""

    number: int
    began: float  # monotonic, as ``ended``
    ended: float = 0.0
    refused: bool = False  # as locked
    unsure: bool = False  # whether it was committed: the server was lost before it said so
    resolved: str | None = None  # the address whose row it gave OWN_COUNTRY
    refreshed: int | None = None  # the number whose stale row is stale no longer
    extended: int | None = None  # the number whose expired session is live again


class Heard(msgspec.Struct, tag=True):
    """What came of a lookup: an answer, or why there is none."""

    entry: Entry | None
    failure: str = ""


class Report(msgspec.Struct, tag=True):
    """What it tells at its end."""

    commits: list[Commit]  # all that have not been told
    largest_wal: int = 0  # bytes; of one that is measured
    # Of one with a lifetime:
    answers: dict[str, int] = {}  # lookups by their status
    sessions: int = 0
    rows: int = 0
    lost: list[str] = []  # sessions that are live, and rows that are not stale, but not there


Told = Begun | Rows | Commit | Heard | Report


def live(number: int) -> str:
    """Return the token of a session that is live."""
    return f"live {number}"


def expired(number: int) -> str:
    """Return the token of a session that has expired."""
    return f"expired {number}"


def own(number: int) -> str:
    """Return the address of a row that came with OWN_COUNTRY."""
    return f"2a00:1450:{number >> 16:x}:{number & 0xFFFF:x}::1"


def own_row(number: int) -> tuple[str, ...]:
    """Return that row, whole."""
    return (own(number), OWN_COUNTRY, "Antarctica", f"AS{number + 1}", f"Station {number}", LONG_AGO, EVER)


def unresolved(number: int) -> str:
    """Return the address of a row that came without a country."""
    return f"8.{number >> 16}.{number >> 8 & 0xFF}.{number & 0xFF}"


def stale(number: int) -> str:
    """Return the address of a row that came with STALE_COUNTRY and was not seen for long."""
    return f"9.{number >> 16}.{number >> 8 & 0xFF}.{number & 0xFF}"


def new_addresses(network: str) -> Iterator[str]:
    """Yield routable addresses, each once, from ``network``, such as "20.7"."""
    for number in range(65_536):
        yield f"{network}.{number >> 8}.{number & 255}"
