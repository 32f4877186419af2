"""Reading fail2ban's database in pages: each lock is short, and fail2ban gets its turn before the next one.

fail2ban's connection has a rollback journal, so any reader keeps it from committing; it waits for 5 s, and then the row
of a ban is lost for good. It waits with SQLite's busy handler, as the web app does (slicing.py), and once it has begun
to wait for the readers to leave, SQLite lets no new reader in.

Between two pages the table may change. That is harmless. A page begins after the last rowid of the previous page, and a
new row has a rowid above all others; a row that is replaced (INSERT OR REPLACE, for a new ban of an old address) is a
new row too. So an address that is banned throughout is found in its place, or later, or twice, which counts as once. An
address that is banned or unbanned meanwhile may be found or not, as if it had been read a little earlier or later: a
freed rowid is reused only by a row that follows the last one. Whatever renumbers rows (VACUUM) or alters tables
changes the version of the schema, and then the reading is incomplete.
"""

import functools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import msgspec

from bangeod.ban_spans import FoundBan
from bangeod.banned import Network, read_banned
from bangeod.store.sqlite import faults, queries
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.slicing import pause_after

if TYPE_CHECKING:
    from sqlite3 import Connection

T = TypeVar("T")
Wait = Callable[[threading.Event, float], bool]

LONGEST: Final = 0.25  # seconds for which a page may hold the lock
AIM: Final = 0.05  # seconds for which it should
FIRST: Final = 100  # rows
LARGEST: Final = 10_000  # rows; parsing their JSON takes some milliseconds, also of the event loop's time
SMALLEST: Final = 8  # rows; if even these can't be read in time, no page can
GROWTH: Final = 4.0  # a page is at most this many times as large as the last one
SHRINK: Final = 8  # a page that took too long is divided by this and tried again
BETWEEN_LOOKS: Final = 0.05  # seconds between two attempts at a locked database
STEPS: Final = 2_000  # of SQLite's virtual machine between two looks at the clock: some 100 rows
BEFORE_ALL: Final = -(2**63)  # the smallest rowid

Time = int | None
_BANS: Final = msgspec.json.Decoder(list[tuple[int, str | None, str, Time, Time]])  # rowid, ip, jail, times
_DATA: Final = msgspec.json.Decoder(list[tuple[str, Time, Time, Any, Any, Any]])  # jail, times, ip, ip4, ip6


class CutShortError(Exception):
    """Only a part of the bans could be read; the message says why."""


class PageSize:
    """How many rows the next page has, from the time that earlier pages took: pure policy, measured times passed in."""

    def __init__(self) -> None:
        self.rows = FIRST

    def held(self, rows: int, seconds: float) -> None:
        """Take into account that a page of ``rows`` rows held the lock for ``seconds``."""
        if rows > 0:
            wanted = AIM * rows / max(seconds, 1e-6)
            self.rows = int(max(SMALLEST, min(wanted, self.rows * GROWTH, LARGEST)))

    def took_too_long(self) -> bool:
        """Make the page smaller; return False if it already was the smallest, so that another try is useless."""
        was, self.rows = self.rows, max(SMALLEST, self.rows // SHRINK)
        return self.rows < was


class Locks:
    """Takes fail2ban's lock for one page at a time. Belongs to the reading thread.

    ``patience`` is how long to try to get the lock, in seconds. ``alone``: nobody else has the database open, and it
    is read without locks. ``wait`` waits for a number of seconds; it returns True once the reading is given up.
    """

    def __init__(
        self, connection: "Connection", given_up: threading.Event, *, patience: float, alone: bool, wait: Wait
    ) -> None:
        self._connection = connection
        self._given_up = given_up
        self._patience = patience
        self._alone = alone
        self._wait = wait
        self._limit = float("inf")  # monotonic; when the page that is being read has to end
        self._free_until = 0.0  # monotonic; the lock is not taken before
        self._version: int | None = None  # of the schema
        connection.set_progress_handler(self._is_over, STEPS)

    def page(self, work: "Callable[[Connection], T]") -> tuple[T, float] | None:
        """Run ``work`` under the lock; return its result and how long it took, None where it took too long.

        Raises the engine's errors, and CutShortError.
        """
        gives_up = time.monotonic() + self._patience
        while True:
            self._wait_for(self._free_until - time.monotonic())
            try:
                return self._attempt(work)
            except engine.Error as error:
                match faults.code(error) & 0xFF:
                    case faults.INTERRUPT if not self._given_up.is_set():
                        return None
                    case faults.BUSY | faults.LOCKED if time.monotonic() < gives_up:
                        self._wait_for(BETWEEN_LOOKS)
                    case _:
                        raise

    def _attempt(self, work: "Callable[[Connection], T]") -> tuple[T, float]:
        began = None
        try:
            self._connection.execute(queries.BEGIN_READING)
            (version,) = self._connection.execute(queries.SCHEMA_VERSION).fetchone()  # the lock is held from here on
            began = time.monotonic()
            self._limit = began + LONGEST
            if self._version not in (None, version):
                raise CutShortError("its tables were altered meanwhile")
            self._version = version
            result = work(self._connection)
        finally:
            self._limit = float("inf")
            if self._connection.in_transaction:
                self._connection.execute(queries.ROLLBACK)  # nothing was written
            ended = time.monotonic()
            if began is not None and not self._alone:
                self._free_until = ended + pause_after(ended - began)
        return result, ended - began

    def _wait_for(self, seconds: float) -> None:
        if self._wait(self._given_up, max(0.0, seconds)):
            raise CutShortError("it was given up")

    def _is_over(self) -> bool:
        return self._given_up.is_set() or time.monotonic() > self._limit


class BanTable(NamedTuple):
    """The SQL statements for a table of bans."""

    page_end: str
    page: str
    data: str | None  # None where the table has no column data

    @staticmethod
    def of(
        table: str, still: str, columns: frozenset[str], times: tuple[str, str] = queries.FAIL2BAN_NO_TIMES
    ) -> "BanTable":
        """Make the statements; ``still`` is the SQL condition for a ban in force, ``times`` those of a ban."""
        jail = queries.FAIL2BAN_JAIL_OF_BAN if "jail" in columns else "''"
        names = {"table": table, "still": still, "jail": jail, "since": times[0], "length": times[1]}
        data = queries.FAIL2BAN_DATA.format(**names) if "data" in columns else None
        return BanTable(queries.FAIL2BAN_PAGE_END.format(**names), queries.FAIL2BAN_PAGE.format(**names), data)


class _Page(NamedTuple):
    """What was read under one lock."""

    rows: int  # how many were looked at
    text: str  # what was found, as JSON
    last: int = 0  # rowid
    is_last: bool = False


def bans(locks: Locks, source: BanTable, moments: Mapping[str, int]) -> Iterator[FoundBan]:
    """Yield each banned address or network with its jail, and with its times if the table was asked for them.

    They come in no order, some perhaps twice.
    """
    size, size_of_data = PageSize(), PageSize()
    after = BEFORE_ALL
    while True:
        page = _in_time(locks, size, functools.partial(_bans_after, source, moments, after))
        without: list[int] = []
        for rowid, ip, jail, since, length in _BANS.decode(page.text):
            what = read_banned(ip)
            if what is not None:
                yield what, jail, since, length
            else:
                without.append(rowid)
        if source.data:
            yield from _within_data(locks, source.data, moments, without, size_of_data)
        if page.is_last:
            return
        after = page.last


def _bans_after(
    source: BanTable, moments: Mapping[str, int], after: int, connection: "Connection", limit: int
) -> _Page:
    last, rows = connection.execute(source.page_end, {"after": after, "limit": limit}).fetchone()
    (text,) = connection.execute(source.page, {"after": after, "upto": last, **moments}).fetchone()
    return _Page(rows, text, last or after, is_last=rows < limit)


def _within_data(
    locks: Locks, statement: str, moments: Mapping[str, int], rowids: Sequence[int], size: PageSize
) -> Iterator[FoundBan]:
    """Look for addresses in the data of bans whose id is no address: a jail may ban any text that it finds in a log."""
    done = 0
    while done < len(rowids):
        read = functools.partial(_data_of, statement=statement, moments=moments, rowids=rowids, start=done)
        page = _in_time(locks, size, read)
        done += page.rows
        for jail, since, length, *found in _DATA.decode(page.text):
            yield from ((what, jail, since, length) for what in addresses(*found))


def _data_of(
    connection: "Connection",
    limit: int,
    *,
    statement: str,
    moments: Mapping[str, int],
    rowids: Sequence[int],
    start: int,
) -> _Page:
    some = rowids[start : start + limit]
    asked = {"rowids": msgspec.json.encode(some).decode(), **moments}
    (text,) = connection.execute(statement, asked).fetchone()
    return _Page(len(some), text)


def addresses(ip: object, ip4: object, ip6: object) -> Iterator[str | Network]:
    """Return the addresses in these keys of fail2ban's data: ``ip`` is what it bans, combining ``ip4`` and ``ip6``."""
    whole = read_banned(ip)
    for what in (whole,) if whole is not None else (read_banned(ip4), read_banned(ip6)):
        if what is not None:
            yield what


def _in_time(locks: Locks, size: PageSize, read: "Callable[[Connection, int], _Page]") -> _Page:
    """Read a page, with fewer rows if it takes too long. Raises what ``Locks.page`` does."""
    while True:
        limit = size.rows
        done = locks.page(lambda connection: read(connection, limit))  # noqa: B023 - called before it changes
        if done is not None:
            page, held = done
            size.held(page.rows, held)
            return page
        if not size.took_too_long():
            raise CutShortError(f"a few of its rows take longer than {LONGEST:g} s")
