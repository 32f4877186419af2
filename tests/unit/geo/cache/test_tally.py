"""Entries counted by place: exactly, at one moment, and in steps."""

from collections import Counter

from bangeod.geo.cache.table import EntryTable
from bangeod.model import Geo

DE, FR, NOWHERE = Geo("DE", "Germany"), Geo("FR", "France", "AS64500", "Example"), Geo()


def filled(count: int) -> EntryTable:
    """Return a table with as many entries, the first one seen at 1: every third is in Germany, IPv6 in France."""
    table = EntryTable()
    for number in range(count):
        table.put(f"8.{number >> 16}.{number >> 8 & 255}.{number & 255}", NOWHERE if number % 3 else DE, number + 1)
    table.put("2606:4700::1", FR, count)
    return table


async def counted(table: EntryTable, since: int = 0) -> dict[Geo, int]:
    counts: Counter[Geo] = Counter()
    async for some in table.tally(since).places():
        counts.update(dict(some))
    return counts


async def test_each_place_is_counted_with_its_entries() -> None:
    assert await counted(filled(3_000)) == {DE: 1_000, NOWHERE: 2_000, FR: 1}


async def test_an_empty_table_has_no_places() -> None:
    assert await counted(EntryTable()) == {}


async def test_only_what_was_seen_since_then_counts() -> None:
    assert await counted(filled(3_000), since=2_998) == {DE: 1, NOWHERE: 2, FR: 1}
    assert await counted(filled(3_000), since=2**40) == {}


async def test_places_are_not_confused_when_the_table_is_cleared_meanwhile() -> None:
    table = filled(3_000)
    tally = table.tally(0)
    table.clear()
    table.put("1.1.1.1", FR, 1)
    found = {place: count async for some in tally.places() for place, count in some}
    assert found == {DE: 1_000, NOWHERE: 2_000, FR: 1}


async def test_places_that_are_counted_drive_none_out_of_those_kept_as_objects() -> None:
    table = filled(3)
    table.get("8.0.0.0")
    for number in range(20_000):
        table.put(f"9.0.{number >> 8}.{number & 255}", Geo("DE", "Germany", f"AS{number + 1}"), 1)
    kept = dict(table._places._geos)
    assert len(await counted(table)) == 20_003
    assert table._places._geos == kept
