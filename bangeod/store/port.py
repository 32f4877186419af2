"""The store as jobs and cache see it. SQLite is one adapter, the memory store another."""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from bangeod.model import DirtyEntry, Row

MOST_NAMES = 10_000  # pairs of code and name that are counted


class Refusal(NamedTuple):
    """A row that the database does not let go."""

    key: str  # of geo_cache the text of the address; of sessions what a person finds it by
    problem: str


class Deleted(NamedTuple):
    """One committed slice of a deletion, or a page of rows passed over (then with no keys)."""

    keys: Sequence[str]  # of geo_cache rows: the text of the address; of sessions: empty strings
    unreadable: int = 0  # rows of this page whose time can't be read; they stay
    example: str | None = None  # one of the unreadable values
    refused: int = 0  # rows that the database does not let go (a foreign key, a trigger); they stay
    refusal: Refusal | None = None  # one of them


class Census(NamedTuple):
    """What a deletion would find; for dry runs."""

    matching: int
    unreadable: int
    example: str | None = None


class Sizes(NamedTuple):
    """How large the store's files are, in bytes; None where there is no such file, or it can't be told."""

    database: int | None = None
    wal: int | None = None  # its write-ahead log


class Store(Protocol):
    """The tables ``geo_cache`` and ``sessions``.

    Every method raises a StoreError of errors.py and nothing of an adapter's. Iterators that delete or write
    hand out what has been committed; to stop between two slices, close them (``contextlib.aclosing``).
    Times are whole seconds since the epoch.
    """

    async def prepare(self) -> bool:
        """Make sure that the file at the path now is the one worked on; return whether it was opened (anew)."""

    async def close(self) -> None:
        """Let go of the file. ``prepare`` opens it again."""

    def rows(self) -> AsyncGenerator[Sequence[Row], None]:
        """Walk over all rows of geo_cache, a page at a time."""

    def unresolved(self) -> AsyncGenerator[Sequence[Row], None]:
        """Walk over the rows of geo_cache that have no country: those whose code is a placeholder too."""

    async def find(self, ips: Sequence[str]) -> Mapping[str, Row]:
        """Return the rows of these canonical addresses that there are, by canonical address.

        Where two rows are of one address, the one with a country.
        """

    async def names_by_code(self, *, but: Collection[str] = ()) -> Mapping[tuple[str, str], int]:
        """Count the rows that have a country with a name, by code and name as they are read; those of ``but`` aside.

        A text too long for a name counts for nothing, and of names without end not all do.
        """

    def write(self, entries: Sequence[DirtyEntry]) -> AsyncGenerator[Sequence[DirtyEntry], None]:
        """Insert or update rows in slices; hands out the entries of each slice once it is committed.

        A country is filled in only where the row has none; a row that holds all that the entry ``replaces``
        (the name of the country aside) gets all of the entry's place. NULL never overwrites a country, ``last_seen``
        never moves back. All rows of the address are updated under the keys they have.
        A time is written in the form of the newest one in its column, without one as constraints allow.

        An entry that knows an AS and no country fills in what the row does not know of its AS: an organisation goes
        only beside its own number. It overwrites nothing but what it ``replaces`` in a row without a country, which
        stays one.

        Entries whose address has no row and can't be given one, or whose row a trigger keeps as it is without an error,
        are not handed out; StoreRefusedError names them once all others are written.
        """

    def delete_stale(
        self, before: int, *, keep: Callable[[str], bool], max_rows: int = 0
    ) -> AsyncGenerator[Deleted, None]:
        """Delete rows of geo_cache last seen before ``before``, but those whose key ``keep`` holds.

        Where more than ``max_rows`` (0: no cap) would be left, the ones seen longest ago go too, the kept
        ones last. A row that the database does not let go counts as one that is left; none is tried twice.
        """

    async def count_stale(self, before: int, *, keep: Callable[[str], bool], max_rows: int = 0) -> Census:
        """Count what ``delete_stale`` would delete."""

    def delete_expired(self, now: int) -> AsyncGenerator[Deleted, None]:
        """Delete sessions whose ``expires_at`` is ``now`` or earlier."""

    async def count_expired(self, now: int) -> Census:
        """Count what ``delete_expired`` would delete."""

    async def tidy(self) -> Mapping[str, int]:
        """Do what follows a deletion (statistics, free pages); returns figures for the job's report."""

    async def sizes(self) -> Sizes:
        """Return how large the files are now, also where the database itself is locked or no good."""

    async def free_bytes(self) -> int:
        """Return how many bytes of the database hold nothing; they are used before it grows."""
