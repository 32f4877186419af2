"""Values that the tests of the contract share, and short ways to run a store's iterators to their end."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import TypeVar

from bangeod.clock import to_text
from bangeod.geo.model import Entry, Geo
from bangeod.store.port import Deleted, Store

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
) -> Entry:
    """Make an entry that was resolved a minute after it was seen."""
    return Entry(ip, Geo(country_code, name, asn, org), seen, seen + 60, replaces)


async def read_all(pages: AsyncGenerator[Iterable[T], None]) -> list[T]:
    """Return the items of all pages."""
    async with aclosing(pages):
        return [item async for page in pages for item in page]


async def write_all(store: Store, entries: Sequence[Entry]) -> list[Entry]:
    """Write all entries; return what was handed out as committed."""
    return await read_all(store.write(entries))


async def total(slices: AsyncGenerator[Deleted, None]) -> Deleted:
    """Run a deletion to its end and add up what it handed out."""
    keys: list[str] = []
    unreadable, example = 0, None
    async with aclosing(slices):
        async for deleted in slices:
            keys += deleted.keys
            unreadable += deleted.unreadable
            example = example or deleted.example
    return Deleted(sorted(keys), unreadable, example)
