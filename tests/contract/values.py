"""Values that the tests of the contract share, and short ways to run a store's iterators to their end."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import NamedTuple, TypeVar

from bangeod.clock import to_text
from bangeod.model import DirtyEntry, Geo
from bangeod.store.port import Deleted, Refusal, Store

T = TypeVar("T")

NOW = 1_795_305_600  # seconds since the epoch
NOW_TEXT = to_text(NOW)
BROKEN = b"M\xfcnchen".decode("utf-8", "surrogateescape")  # what a harness stores is no UTF-8


def entry(
    ip: str,
    country_code: str | None = None,
    *,
    name: str | None = None,
    asn: str | None = None,
    org: str | None = None,
    seen: int = NOW,
    replaces: Geo | None = None,
) -> DirtyEntry:
    """Make an entry that was resolved a minute after it was seen."""
    return DirtyEntry(ip, Geo(country_code, name, asn, org), seen, seen + 60, replaces)


async def read_all(pages: AsyncGenerator[Iterable[T], None]) -> list[T]:
    """Return the items of all pages."""
    async with aclosing(pages):
        return [item async for page in pages for item in page]


async def write_all(store: Store, entries: Sequence[DirtyEntry]) -> list[DirtyEntry]:
    """Write all entries; return what was handed out as committed."""
    return await read_all(store.write(entries))


class Total(NamedTuple):
    """What a deletion did and passed over."""

    keys: list[str]
    unreadable: int
    example: str | None


class Refused(NamedTuple):
    """What a deletion did and what it was refused."""

    keys: list[str]
    refused: int
    refusal: Refusal | None


async def total(slices: AsyncGenerator[Deleted, None]) -> Total:
    """Run a deletion to its end, in which nothing is refused, and add up what it handed out."""
    keys: list[str] = []
    unreadable, example = 0, None
    async with aclosing(slices):
        async for deleted in slices:
            keys += deleted.keys
            unreadable += deleted.unreadable
            example = example or deleted.example
            assert (deleted.refused, deleted.refusal) == (0, None)
    return Total(sorted(keys), unreadable, example)


async def refused(slices: AsyncGenerator[Deleted, None]) -> Refused:
    """Run a deletion to its end, of which some is refused, and add up what it handed out."""
    keys: list[str] = []
    count, refusal = 0, None
    async with aclosing(slices):
        async for deleted in slices:
            assert bool(deleted.refused) == (deleted.refusal is not None)
            keys += deleted.keys
            count += deleted.refused
            refusal = refusal or deleted.refusal
    return Refused(sorted(keys), count, refusal)
