"""The store protocol that jobs and cache use. SQLite is one adapter, the memory store another."""

import math
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from bangeod.model import DirtyEntry, Row

MOST_NAMES = 10_000  # pairs of code and name that are counted at most


class Refusal(NamedTuple):
    """A row that the database refuses to delete."""

    key: str  # in geo_cache the text of the address; in sessions a text by which a person finds the row
    problem: str


class Deleted(NamedTuple):
    """One committed slice of a deletion, or a page of rows passed over (then with no keys)."""

    keys: Sequence[str]  # for geo_cache the text of the address; for sessions empty strings
    unreadable: int = 0  # rows of this page whose time can't be read; they stay
    example: str | None = None  # one of the unreadable values
    refused: int = 0  # rows that the database refuses to delete (a foreign key, a trigger); they stay
    refusal: Refusal | None = None  # one of the refused rows


class Census(NamedTuple):
    """What a deletion would find; for dry runs."""

    matching: int
    unreadable: int
    example: str | None = None


class Page(list[Row]):
    """Some rows of a walk over all of geo_cache, and how far the walk has come with them.

    ``share`` is how much of the table has been read, from 0 to 1, as far as the store can tell. With ``newest_first``
    no row that was seen later than these is still to come.
    """

    def __init__(self, rows: Iterable[Row], *, share: float, newest_first: bool = False) -> None:
        super().__init__(rows)
        self.share = share
        self.newest_first = newest_first


class Sizes(NamedTuple):
    """How large the store's files are, in bytes; None where a file does not exist, or its size is unknown."""

    database: int | None = None
    wal: int | None = None  # its WAL


def endless() -> float:
    """Return the time that is left to whoever has no limit, in seconds."""
    return math.inf


class Store(Protocol):
    """The tables ``geo_cache`` and ``sessions``.

    Every method raises only a StoreError of errors.py, no error of an adapter. Iterators that delete or write
    yield what has been committed; to stop between two slices, close them (``contextlib.aclosing``).
    Times are whole seconds since the epoch.

    ``time_left`` returns the seconds that the caller has for something long; endless for one who does not say. Of a
    limited time an adapter may use a part to keep quiet for others, as for a backup.
    """

    async def prepare(self) -> bool:
        """Make sure that the file now at the path is the one in use; return whether it was opened (again)."""

    async def close(self) -> None:
        """Close the file. ``prepare`` opens it again."""

    def rows(self) -> AsyncGenerator[Page, None]:
        """Iterate over all rows of geo_cache, a page at a time; newest first where that costs the store little.

        A page is read when it is asked for. Rows that are inserted meanwhile need not come, and none comes that was
        deleted before its page is read. Newest first, a row whose time changes meanwhile need not come either.
        """

    def unresolved(self) -> AsyncGenerator[Sequence[Row], None]:
        """Iterate over the rows of geo_cache without a country, including those with a placeholder as their code."""

    async def find(self, ips: Sequence[str]) -> Mapping[str, Row]:
        """Return the existing rows of these canonical addresses, by canonical address.

        Where an address has two rows, the one with a country.
        """

    async def names_by_code(self, *, but: Collection[str] = ()) -> Mapping[tuple[str, str], int]:
        """Count the rows that have a country with a name, by code and name as they are read, except codes in ``but``.

        A text too long for a name is not counted, and of an endless number of names not all are.
        """

    def write(
        self, entries: Sequence[DirtyEntry], *, time_left: Callable[[], float] = endless
    ) -> AsyncGenerator[Sequence[DirtyEntry], None]:
        """Insert or update rows in slices; yields the entries of each slice once it is committed.

        A country is filled in only where the row has none; a row that holds all that the entry ``replaces``
        (except the name of the country) gets all of the entry's place. NULL never overwrites a country, and
        ``last_seen`` never moves back. All rows of the address are updated under the keys they have.
        A time is written in the form of the newest time in its column; if there is none, as constraints allow.

        An entry with an AS and no country fills in what the row does not know of its AS: an organisation is written
        only beside its own number. It overwrites nothing but what it ``replaces`` in a row without a country, and that
        row stays without a country.

        Entries are not yielded if their address has no row and can't be given one, or if a trigger leaves the row
        unchanged without an error; StoreRefusedError names them once all others are written.
        """

    def delete_stale(
        self,
        before: int,
        *,
        keep: Callable[[str], bool],
        max_rows: int = 0,
        time_left: Callable[[], float] = endless,
    ) -> AsyncGenerator[Deleted, None]:
        """Delete rows of geo_cache last seen before ``before``, except those whose key ``keep`` holds.

        If more than ``max_rows`` (0: no cap) would be left, those seen longest ago go too, the kept ones last.
        A row that the database refuses to delete counts as left; no row is tried twice.
        """

    async def count_stale(self, before: int, *, keep: Callable[[str], bool], max_rows: int = 0) -> Census:
        """Count what ``delete_stale`` would delete."""

    def delete_expired(self, now: int, *, time_left: Callable[[], float] = endless) -> AsyncGenerator[Deleted, None]:
        """Delete sessions whose ``expires_at`` is ``now`` or earlier."""

    async def count_expired(self, now: int) -> Census:
        """Count what ``delete_expired`` would delete."""

    async def tidy(self, *, time_left: Callable[[], float] = endless) -> Mapping[str, int]:
        """Do what follows a deletion (statistics, free pages); returns figures for the job's report."""

    async def shorten_wal(self) -> None:
        """Give back the room of a log that others have left long; nothing, while somebody is in the way."""

    async def empty_wal(self) -> float:
        """Do for others what their next writes would have to do with the log; return the seconds until the next time.

        Nobody waits for it. It never raises.
        """

    async def sizes(self) -> Sizes:
        """Return the current sizes of the files, even where the database itself is locked or unusable."""

    async def free_bytes(self) -> int:
        """Return how many bytes of the database are unused; they are filled before it grows."""
