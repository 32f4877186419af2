"""A walk over a table by its key, in pages: each is one short statement, and no row is read twice.

Between two pages nothing is held: no transaction, no snapshot, no cursor.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, NamedTuple

from bangeod import countries
from bangeod.model import Row
from bangeod.store import row_values
from bangeod.store.port import MOST_NAMES, Page
from bangeod.store.postgres import faults, queries
from bangeod.store.postgres.columns import Table
from bangeod.store.postgres.session import Session, Values
from bangeod.store.sweep import Aged

FEW: Final = 1_000  # rows of a page that are all read: some milliseconds of the event loop's
MANY: Final = 2_000  # rows of a page of which the server chooses some
COUNTED_AT_ONCE: Final = 20_000  # rows of a page that the server counts
COUNTED: Final = 1_000_000  # rows that are counted at most, where there is no estimate
REPLACED: Final = "\N{REPLACEMENT CHARACTER}"  # in a key that is not UTF-8, which then can't be compared with
ALMOST_ALL: Final = 0.999  # the share of a table that has been read, as long as there may be more

_NONE: Final[Mapping[str, object]] = {}
_CODES: Final = {"codes": list(countries.codes())}


class Part(NamedTuple):
    """What a page has: of each row that is wanted the key, then what was asked for; and how many rows were passed."""

    rows: Sequence[tuple[Any, ...]]
    passed: int
    is_last: bool


async def parts(
    session: Session,
    table: Table,
    items: Iterable[str],
    *,
    wanted: str = queries.ALL,
    values: Values = _NONE,
    size: int = FEW,
) -> AsyncGenerator[Part, None]:
    """Yield the pages of a table; ``items`` and ``wanted`` are SQL, and ``values`` their parameters."""
    items = tuple(items)
    width = len(table.key)
    first, bounds = True, dict[str, object]()
    while True:
        statement = table.page(items, wanted, first=first)
        rows = await session.run(statement, {**values, **bounds, "limit": size}, again=True)
        is_last = not rows or rows[-1][0] <= size
        yield Part([row[2:] for row in rows if row[1] and row[0] <= size], rows[-1][0] if rows else 0, is_last)
        if is_last:
            return
        (upto,) = (row[2 : 2 + width] for row in rows[-2:-1])
        make_sure_of(session, table, upto)
        first, bounds = False, dict(zip(table.key_names, upto, strict=True))


def make_sure_of(session: Session, table: Table, key: Iterable[str]) -> None:
    """Raise StoreError where a key was not read as it is, so that no page can begin after it."""
    if session.has_any_bytes and any(REPLACED in value for value in key):
        raise faults.unpageable(session.conninfo, table.name)


async def rows(session: Session, table: Table) -> AsyncGenerator[Page, None]:
    """Yield all rows of geo_cache."""
    total = await _estimate(session, table)
    read = 0
    async with aclosing(parts(session, table, _of_a_row(table))) as read_parts:
        async for part in read_parts:
            read += len(part.rows)
            if part.rows:
                share = 1.0 if part.is_last else min(read / max(total, read), ALMOST_ALL)
                yield Page(_rows(table, part.rows), share=share)


async def unresolved(session: Session, table: Table) -> AsyncGenerator[Sequence[Row], None]:
    """Yield the rows of geo_cache without a country."""
    odd = queries.ODD_COUNTRY.format(code=table.columns["country_code"].text)
    found = parts(session, table, _of_a_row(table), wanted=odd, values=_CODES, size=MANY)
    async with aclosing(found) as read_parts:
        async for part in read_parts:
            for start in range(0, len(part.rows), FEW):
                page = [row for row in _rows(table, part.rows[start : start + FEW]) if row.geo.country_code is None]
                if page:
                    yield page


def _of_a_row(table: Table) -> tuple[str, ...]:
    return (table.columns["ip"].text, *table.place, table.seen("last_seen"))


def _rows(table: Table, found: Iterable[tuple[Any, ...]]) -> list[Row]:
    place, seconds, start = row_values.read, table.seconds("last_seen"), len(table.key)
    return [
        Row(ip, place(code, name, asn, org), seconds(seen))
        for ip, code, name, asn, org, seen in (row[start:] for row in found)
    ]


async def _estimate(session: Session, table: Table) -> int:
    ((rows,),) = await session.run(queries.ESTIMATED_ROWS, {"table": table.oid}, again=True)
    if rows <= 0:
        ((rows,),) = await session.run(table.sql(queries.COUNT_UP_TO), {"limit": COUNTED}, again=True)
    return int(rows)


async def aged(session: Session, table: Table) -> AsyncGenerator[Sequence[Aged], None]:
    """Yield all rows with their times."""
    time = table.age
    width, read = len(table.key), table.micros(time.name)
    async with aclosing(parts(session, table, (table.label, table.seen(time.name)))) as found:
        async for part in found:
            yield [Aged(row[:width], row[width], read(row[width + 1])) for row in part.rows]


async def names_by_code(session: Session, table: Table, but: Collection[str]) -> Mapping[tuple[str, str], int]:
    """Count the rows that have a country with a name, a page at a time, except those whose code is in ``but``."""
    found: Counter[tuple[str, str]] = Counter()
    if "country_name" not in table.columns:
        return found
    code, name = (table.columns[column].value for column in ("country_code", "country_name"))
    width = len(table.key)
    first, bounds = True, dict[str, object]()
    while True:
        after = table.after(first=first)
        values = {**bounds, "limit": COUNTED_AT_ONCE, "but": sorted(but)}
        ends = await session.run(table.sql(queries.PAGE_END, after=after), values, again=True)
        values |= {f"u{i}": value for end in ends for i, value in enumerate(end)}
        upto = table.upto(last=not ends)
        statement = table.sql(queries.NAMES_OF_PAGE, after=after, upto=upto, code=code, name=name)
        for raw_code, raw_name, rows in await session.run(statement, values, again=True):
            country = row_values.country(raw_code, raw_name)
            if country is None or country[0] in but:  # the code may be spelled so that SQL did not leave it out
                continue
            if len(found) < MOST_NAMES or country in found:
                found[country] += rows
        if not ends:
            return found
        make_sure_of(session, table, ends[0])
        first, bounds = False, {f"k{i}": ends[0][i] for i in range(width)}
