"""Reading all of geo_cache for memory: in which order, and that it reads what reading row by row does."""

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bangeod.clock import to_text
from bangeod.model import Geo, Row
from bangeod.store import row_values
from bangeod.store.port import Page
from bangeod.store.sqlite import paging, queries, schema, whole_table
from bangeod.store.sqlite.columns import Table
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.lenient_text import leniently
from bangeod.store.sqlite.paging import Bounds
from bangeod.store.sqlite.store import SqliteStore, look_at_tables
from bangeod.store.sqlite.whole_table import Reader
from tests.support.manual_clock import ManualClock

INDEX = "CREATE INDEX by_time ON geo_cache (last_seen)"
INSERT = "INSERT INTO geo_cache VALUES (?, ?, ?, ?, ?, ?, ?)"
NOW = 1_795_305_600  # seconds since the epoch


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "bangui.db"
    schema.create(path)
    return path


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_table, "AT_ONCE", 3)
    monkeypatch.setattr(whole_table, "AT_ONCE_BY_TIME", 3)
    monkeypatch.setattr(paging, "FIRST_PAGE", 3)


def change(path: Path, statement: str, rows: Sequence[Sequence[object]] = ((),)) -> None:
    with closing(engine.connect(path, isolation_level=None)) as connection:
        connection.executemany(statement, rows)


def fill(path: Path, seen: Mapping[str, object], *, country: object = "DE") -> None:
    """Insert rows in this order, with these times."""
    change(path, INSERT, [(key, country, None, None, None, None, time) for key, time in seen.items()])


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, busy_timeout=0.01, max_lock_time=0.01, clock=ManualClock())
    try:
        await store.prepare()
        yield store
    finally:
        await store.close()


async def walked(path: Path) -> list[Page]:
    async with opened(path) as store:
        return [page async for page in store.rows()]


def keys(pages: Sequence[Page]) -> list[str]:
    return [row.key for page in pages for row in page]


def times(count: int) -> dict[str, object]:
    """Return times of addresses, in no order of time."""
    return {f"8.8.8.{number}": to_text(NOW + number * 7 % count) for number in range(count)}


def newest_first(seen: dict[str, Any]) -> list[str]:
    return sorted(seen, key=seen.__getitem__, reverse=True)


async def test_without_an_index_on_the_times_rows_come_by_their_key(path: Path) -> None:
    fill(path, times(10))
    pages = await walked(path)
    assert keys(pages) == list(times(10))
    assert not any(page.newest_first for page in pages)


async def test_an_index_on_the_times_has_the_newest_rows_come_first(path: Path) -> None:
    fill(path, times(10))
    change(path, INDEX)
    pages = await walked(path)
    assert keys(pages) == newest_first(times(10))
    assert all(page.newest_first for page in pages)


async def test_newest_first_in_a_table_without_rowid(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    change(path, f"{schema.GEO_CACHE} WITHOUT ROWID")
    fill(path, times(10))
    change(path, INDEX)
    assert keys(await walked(path)) == newest_first(times(10))


@pytest.mark.parametrize(
    "index", ["(country_code, last_seen)", "(last_seen) WHERE last_seen > '2026'", "(substr(last_seen, 1, 10))"]
)
async def test_an_index_of_no_use_for_the_order_changes_nothing(path: Path, index: str) -> None:
    fill(path, times(10))
    change(path, f"CREATE INDEX other ON geo_cache {index}")
    assert keys(await walked(path)) == list(times(10))


async def test_rows_of_one_time_all_come_once(path: Path) -> None:
    seen = dict.fromkeys(times(20), to_text(NOW))
    fill(path, seen)
    change(path, INDEX)
    assert sorted(keys(await walked(path))) == sorted(seen)


@pytest.mark.parametrize("kind", ["TEXT", "", "DATETIME", "INTEGER"])
async def test_rows_without_a_readable_time_come_too(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "other.db"
    change(path, schema.GEO_CACHE.replace("last_seen TEXT", f"last_seen {kind}"))
    odd: list[object] = [None, b"blob", b"", "", "never", 0, -1, 1.5, 1e300, "zzz", None, None, None, NOW, NOW + 0.5]
    seen = {f"8.8.8.{number}": time for number, time in enumerate(odd)}
    fill(path, seen)
    change(path, INDEX)
    assert sorted(keys(await walked(path))) == sorted(seen)


async def test_times_that_are_no_valid_text_have_the_rows_come_by_their_key_after_all(path: Path) -> None:
    fill(path, times(7))
    change(path, INDEX)
    change(path, "UPDATE geo_cache SET last_seen = CAST(x'32ff' AS TEXT) WHERE ip IN ('8.8.8.2', '8.8.8.5', '8.8.8.6')")
    pages = await walked(path)
    assert keys([page for page in pages if not page.newest_first]) == list(times(7))


@pytest.mark.parametrize("odd", [b"blob", 1.5], ids=str)
async def test_keys_that_are_no_valid_text_have_the_rows_come_by_their_key_after_all(
    tmp_path: Path, odd: object
) -> None:
    path = tmp_path / "other.db"
    change(path, schema.GEO_CACHE.replace("ip TEXT", "ip") + " WITHOUT ROWID")
    fill(path, times(9))
    change(path, "UPDATE geo_cache SET ip = ? WHERE last_seen = (SELECT max(last_seen) FROM geo_cache)", [(odd,)])
    change(path, INDEX)
    pages = await walked(path)
    assert not any(page.newest_first for page in pages)
    assert len(keys(pages)) == 9


@pytest.mark.parametrize("by_time", [False, True])
async def test_a_row_that_is_deleted_before_its_page_is_read_does_not_come(path: Path, *, by_time: bool) -> None:
    fill(path, times(9))
    if by_time:
        change(path, INDEX)
    async with opened(path) as store:
        pages = store.rows()
        first = await anext(pages)
        gone = (newest_first(times(9)) if by_time else list(times(9)))[5]
        change(path, "DELETE FROM geo_cache WHERE ip = ?", [(gone,)])
        assert sorted(keys([first, *[page async for page in pages]])) == sorted(times(9).keys() - {gone})


@pytest.mark.parametrize("suffix", ["", " WITHOUT ROWID"])
@pytest.mark.parametrize("by_time", [False, True])
async def test_it_is_told_how_much_has_been_read(tmp_path: Path, suffix: str, *, by_time: bool) -> None:
    path = tmp_path / "other.db"
    change(path, schema.GEO_CACHE + suffix)
    fill(path, times(9))
    if by_time:
        change(path, INDEX)
    shares = [page.share for page in await walked(path)]
    assert shares == sorted(set(shares))
    assert (0 < shares[0] < 1, shares[-1]) == (True, 1.0)


# --- what a page reads ---

ODD_TEXT = "a\nb\0c'd\"\\ \N{GRINNING FACE}"
JSON_OF_SQLITE = [b"\x00", b"\x01", b"\x17a", b"\x131"]  # null, true, "a" and 1 as BLOBs
VALUES = (
    st.none()
    | st.sampled_from(JSON_OF_SQLITE)
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=4)
    | st.sampled_from(["DE", "de", "DEU", "-", "", "AS64500", "AS64500 Example", "64500", "Ünïcode", ODD_TEXT])
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
)
ROWS = st.lists(st.tuples(*[VALUES] * 7), min_size=1, max_size=7)


@settings(deadline=None)  # SQLite on a busy machine
@given(rows=ROWS)
@pytest.mark.parametrize("kind", ["TEXT", ""])
def test_a_page_reads_what_reading_row_by_row_does(kind: str, rows: list[tuple[object, ...]]) -> None:
    with closing(engine.connect(":memory:")) as connection:
        connection.execute(schema.GEO_CACHE.replace(" TEXT", f" {kind}"))
        connection.executemany(INSERT.replace("INSERT", "INSERT OR IGNORE"), rows)
        table = (look_at_tables(connection, None)[1] or {})["geo_cache"]
        assert isinstance(table, Table)
        bounds = Bounds(first=True, after=None, upto=len(rows))
        _, read = leniently(connection, lambda connection: Reader(table).page(connection, bounds))
        micros = queries.MICROSECONDS.format(c="last_seen")
        plain = connection.execute(f"SELECT *, ({micros}) / 1000000 FROM geo_cache").fetchall()
    assert read == [Row(str(key), row_values.read(*place), seen) for key, *place, _, _, seen in plain]


async def test_text_that_is_not_utf_8_is_read_as_elsewhere(path: Path) -> None:
    fill(path, times(3))
    change(path, "UPDATE geo_cache SET org = CAST(x'4dfc6e' AS TEXT), asn = 'AS1' WHERE ip = '8.8.8.1'")
    rows = {row.key: row.geo for page in await walked(path) for row in page}
    assert rows["8.8.8.1"] == Geo("DE", asn="AS1", org="M\N{REPLACEMENT CHARACTER}n")
    assert len(rows) == 3


@pytest.mark.parametrize("blob", JSON_OF_SQLITE)
async def test_a_blob_that_is_json_to_sqlite_is_read_as_a_blob(path: Path, blob: bytes) -> None:
    fill(path, times(3))
    change(path, "UPDATE geo_cache SET org = ? WHERE ip = '8.8.8.1'", [(blob,)])
    rows = {row.key: row.geo for page in await walked(path) for row in page}
    assert rows["8.8.8.1"] == row_values.read("DE", None, None, blob)


async def test_few_places_are_kept_during_a_walk_and_others_once_those_no_longer_come(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_table, "DISTINCT", 2)
    monkeypatch.setattr(whole_table, "OTHERS", 3)
    known = whole_table._Places()
    texts = [f'["DE",null,"AS{number}",null]' for number in range(1, 10)]
    for number, text in enumerate(texts, start=1):
        assert known[text] == Geo("DE", asn=f"AS{number}")
        assert len(known) <= 2
    assert list(known) == texts[5:7]
    assert known[texts[5]] is known[texts[5]]


async def test_a_number_that_json_does_not_have_is_read_as_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "untyped.db"
    change(path, schema.GEO_CACHE.replace(" TEXT", ""))
    fill(path, times(3))
    change(path, "UPDATE geo_cache SET org = 9e999 WHERE ip = '8.8.8.1'")
    rows = {row.key: row.geo for page in await walked(path) for row in page}
    assert rows["8.8.8.1"] == row_values.read("DE", None, None, math.inf)
    assert len(rows) == 3
