"""Verification: comparing cached entries with MMDBs that have changed, in the background.

What the files say now decides, not the order of the sources: the files are new since an entry was resolved from
another source, or have changed since then. What another source said and the files don't know stays.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from bangeod.geo.cache.contents import Memory
from bangeod.model import Geo

AT_ONCE: Final = 50  # addresses between two looks at the clock: a quarter of a millisecond
LONGEST_STEP: Final = 0.002  # seconds of the event loop's time in one go
REST: Final = 1.0  # times the length of a step, for which the event loop is left to other work
WAIT_FOR_FLUSH: Final = 1.0  # seconds until a dirty set that is full is looked at again

Find = Callable[[str], Geo | None]
Moved = Callable[[str, Geo], None]


class Verified(NamedTuple):
    """How many entries were looked at, and how many of them changed."""

    checked: int
    changed: int


def corrected(held: Geo, said: Geo | None) -> Geo | None:
    """Return the corrected entry, given what the files now say of its address; None where it stays as it is.

    A country is never taken away, and a name alone is no change. What the files don't know stays, unless it
    belongs to a country or an AS that the address is no longer in.
    """
    if said is None or held.country_code is None:  # no country: resolved, not verified, its AS too
        return None
    moves = said.country_code not in (None, held.country_code)
    kept = Geo(said.country_code, said.country_name) if moves else held
    if kept.asn is None:
        kept = kept._replace(asn=said.asn, org=said.org or kept.org)
    elif said.asn not in (None, kept.asn):
        kept = kept._replace(asn=said.asn, org=said.org)
    elif kept.org is None:
        kept = kept._replace(org=said.org)
    return None if kept == held else kept


async def verify(
    memory: Memory,
    find: Find,
    *,
    moved: Moved = lambda _ip, _said: None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    timer: Callable[[], float] = time.perf_counter,
) -> Verified:
    """Compare every entry with what ``find`` says; changed entries wait to be written. Never stops the loop for long.

    ``moved`` is told of addresses that are in another country, with what was said of them.
    Pauses while the dirty set is full. Entries added or removed during the walk need not be looked at.
    """
    checked = changed = 0
    began = timer()
    for addresses in memory.table.addresses():
        for start in range(0, len(addresses), AT_ONCE):
            part = addresses[start : start + AT_ONCE]
            changed += _verify(memory, find, moved, part)
            checked += len(part)
            spent = timer() - began
            if spent >= LONGEST_STEP:
                await sleep(spent * REST)
                began = timer()
            while len(memory.dirty) >= memory.max_dirty:
                await sleep(WAIT_FOR_FLUSH)
                began = timer()
    return Verified(checked, changed)


def _verify(memory: Memory, find: Find, moved: Moved, addresses: list[str]) -> int:
    changed = 0
    get = memory.table.get
    for ip in addresses:
        held = get(ip)
        if held is None or held.country_code is None:
            continue
        said = find(ip)
        if said is None or said == held:
            continue
        geo = corrected(held, said)
        if geo is not None:
            memory.correct(ip, geo)
            changed += 1
            if geo.country_code != held.country_code:
                moved(ip, said)
    return changed
