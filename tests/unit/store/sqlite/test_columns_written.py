"""What is written asks for what the columns declare: numbers, defaults, no NULL; and what no new row can be made of."""

from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from bangeod.clock import SystemClock
from bangeod.errors import StoreRefusedError
from bangeod.geo.cache.cache import GeoCache
from bangeod.model import DirtyEntry, Geo, Row
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.schema import GEO_CACHE, SESSIONS
from bangeod.store.sqlite.store import SqliteStore
from tests.contract.values import read_all, write_all
from tests.support.fakes import World

if TYPE_CHECKING:
    from sqlite3 import Connection

AT = 1_795_305_600  # seconds since the epoch
GOOGLE = Geo("US", "United States", "AS15169", "Google LLC")
FOUND = DirtyEntry("8.8.8.8", GOOGLE, AT, AT)
NOT_FOUND = DirtyEntry("9.9.9.9", Geo(), AT, AT)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bangui.db"


@pytest.fixture
def web_app(path: Path) -> Iterator["Connection"]:
    with closing(engine.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(SESSIONS)
        yield connection


@pytest.fixture
async def store(path: Path, web_app: "Connection") -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, busy_timeout=1.0, max_lock_time=0.01, clock=SystemClock())
    yield store
    await store.close()


def table(web_app: "Connection", column: str, declared: str, *, options: str = "") -> None:
    """Make the table with another declaration of one column."""
    lines = [f"{column} {declared}," if line.split()[0] == column else line for line in GEO_CACHE.splitlines()]
    web_app.execute("\n".join(lines) + options)


def rows(web_app: "Connection", *columns: str) -> dict[str, tuple[object, ...]]:
    found = web_app.execute(f"SELECT ip, {', '.join(columns)} FROM geo_cache").fetchall()
    return {ip: tuple(values) for ip, *values in found}


@pytest.mark.parametrize("declared", ["INTEGER", "INT", "BIGINT", "NUMERIC", "REAL", "DECIMAL(10, 0)"])
async def test_a_column_for_numbers_gets_the_number_of_the_as(
    web_app: "Connection", store: SqliteStore, declared: str
) -> None:
    table(web_app, "asn", declared)
    web_app.execute("INSERT INTO geo_cache (ip) VALUES ('8.8.4.4')")
    await write_all(store, [FOUND, DirtyEntry("8.8.4.4", GOOGLE, AT, AT), NOT_FOUND])
    assert rows(web_app, "asn") == {"8.8.8.8": (15169,), "8.8.4.4": (15169,), "9.9.9.9": (None,)}
    assert {row.geo.asn for row in await read_all(store.rows())} == {"AS15169", None}


@pytest.mark.parametrize("declared", ["TEXT", "VARCHAR(16)", "STRING", "", "BLOB"])
async def test_any_other_column_gets_the_text(web_app: "Connection", store: SqliteStore, declared: str) -> None:
    table(web_app, "asn", declared)
    await write_all(store, [FOUND])
    assert rows(web_app, "asn") == {"8.8.8.8": ("AS15169",)}


@pytest.mark.parametrize(
    ("declared", "number", "nothing"), [("INTEGER", 15169, None), ("TEXT", "AS15169", None), ("INT NOT NULL", 15169, 0)]
)
async def test_a_strict_table_takes_the_as(
    web_app: "Connection", store: SqliteStore, declared: str, number: object, nothing: object
) -> None:
    table(web_app, "asn", declared, options=" STRICT")
    await write_all(store, [FOUND, NOT_FOUND])
    assert rows(web_app, "asn") == {"8.8.8.8": (number,), "9.9.9.9": (nothing,)}


async def test_a_strict_column_for_bytes_gets_bytes(web_app: "Connection", store: SqliteStore) -> None:
    table(web_app, "org", "BLOB NOT NULL", options=" STRICT")
    await write_all(store, [FOUND, NOT_FOUND])
    assert rows(web_app, "org") == {"8.8.8.8": (b"Google LLC",), "9.9.9.9": (b"",)}
    assert {row.geo.org for row in await read_all(store.rows())} == {"Google LLC", None}


@pytest.mark.parametrize("column", ["country_code", "country_name", "asn", "org"])
@pytest.mark.parametrize(
    ("declared", "nothing"),
    [
        ("TEXT NOT NULL", ""),
        ("TEXT NOT NULL DEFAULT '-'", "-"),
        ('TEXT NOT NULL DEFAULT "XX"', "XX"),
        ("TEXT NOT NULL DEFAULT unknown", "unknown"),
        ("TEXT NOT NULL DEFAULT NULL", ""),
        ("TEXT NOT NULL DEFAULT (lower('N/A'))", "n/a"),
        ("TEXT NOT NULL DEFAULT 'it''s {not} known'", "it's {not} known"),
        ("INTEGER NOT NULL", 0),
    ],
)
async def test_where_null_is_not_allowed_there_is_the_default_or_nothing(
    web_app: "Connection", store: SqliteStore, column: str, declared: str, nothing: object
) -> None:
    table(web_app, column, declared)
    assert await write_all(store, [NOT_FOUND]) == [NOT_FOUND]
    assert rows(web_app, column) == {"9.9.9.9": (nothing,)}
    (unresolved,) = await read_all(store.unresolved())
    assert unresolved.geo.country_code is None
    await write_all(store, [DirtyEntry("9.9.9.9", Geo("CH"), AT, AT)])
    assert await read_all(store.unresolved()) == []


async def test_a_column_that_may_be_null_gets_null_whatever_its_default(
    web_app: "Connection", store: SqliteStore
) -> None:
    table(web_app, "country_code", "TEXT DEFAULT 'XX'")
    await write_all(store, [NOT_FOUND])
    assert rows(web_app, "country_code") == {"9.9.9.9": (None,)}


async def test_what_is_replaced_by_nothing_is_not_null_either(web_app: "Connection", store: SqliteStore) -> None:
    table(web_app, "org", "TEXT NOT NULL DEFAULT '-'")
    await write_all(store, [FOUND])
    await write_all(store, [DirtyEntry("8.8.8.8", Geo("CA", "Canada", "AS15169"), AT, AT, replaces=GOOGLE)])
    assert rows(web_app, "country_code", "org") == {"8.8.8.8": ("CA", "-")}


async def test_a_generated_column_is_read(web_app: "Connection", store: SqliteStore) -> None:
    table(web_app, "country_name", "TEXT AS ('land of ' || country_code) STORED")
    assert await write_all(store, [FOUND]) == [FOUND]
    assert await read_all(store.rows()) == [Row("8.8.8.8", GOOGLE._replace(country_name="land of US"), AT)]


@pytest.mark.parametrize(
    "key",
    [
        "id INTEGER PRIMARY KEY, ip TEXT UNIQUE NOT NULL",
        "id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, ip TEXT UNIQUE",
        "id TEXT NOT NULL PRIMARY KEY DEFAULT (hex(randomblob(8))), ip VARCHAR(45) COLLATE NOCASE UNIQUE",
        "ip TEXT PRIMARY KEY COLLATE NOCASE, made TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP",
    ],
)
async def test_a_key_of_the_web_apps_own_is_its_own_matter(web_app: "Connection", store: SqliteStore, key: str) -> None:
    web_app.execute(f"CREATE TABLE geo_cache ({key}, country_code TEXT, last_seen TEXT)")
    web_app.execute("INSERT INTO geo_cache (ip) VALUES ('2001:4860:4860::ABCD')")
    await write_all(store, [FOUND, DirtyEntry("2001:4860:4860::abcd", GOOGLE, AT, AT)])
    await write_all(store, [FOUND])
    assert rows(web_app, "country_code") == {"8.8.8.8": ("US",), "2001:4860:4860::ABCD": ("US",)}


UNKNOWN_TO_US = GEO_CACHE.replace("org TEXT,", "org TEXT, tenant INTEGER NOT NULL, site TEXT NOT NULL,")


async def test_where_no_new_row_can_be_made_those_that_are_there_are_kept_up_to_date(
    web_app: "Connection", store: SqliteStore
) -> None:
    web_app.execute(UNKNOWN_TO_US)
    web_app.execute("INSERT INTO geo_cache (ip, tenant, site) VALUES ('9.9.9.9', 1, 'x')")
    known = DirtyEntry("9.9.9.9", Geo("CH"), AT, AT)
    written: list[DirtyEntry] = []

    async def write() -> None:
        async for part in store.write([FOUND, known]):
            written.extend(part)

    with pytest.raises(StoreRefusedError, match="tenant and site are NOT NULL and have no default") as refusal:
        await write()
    assert written == [known]
    assert refusal.value.ips == {"8.8.8.8"}
    assert rows(web_app, "country_code") == {"9.9.9.9": ("CH",)}


async def test_where_a_constraint_asks_for_a_country_only_rows_with_one_are_new(
    web_app: "Connection", store: SqliteStore
) -> None:
    table(web_app, "country_code", "TEXT NOT NULL CHECK (length(country_code) = 2)")
    with pytest.raises(StoreRefusedError, match="takes no row without a country") as refusal:
        await write_all(store, [FOUND, NOT_FOUND])
    assert refusal.value.ips == {"9.9.9.9"}
    assert rows(web_app, "country_code") == {"8.8.8.8": ("US",)}


async def test_a_flush_says_once_that_new_rows_are_refused_and_is_no_failure(
    web_app: "Connection", store: SqliteStore
) -> None:
    web_app.execute(UNKNOWN_TO_US)
    web_app.execute("INSERT INTO geo_cache (ip, tenant, site) VALUES ('9.9.9.9', 1, 'x')")
    world = World()
    cache = GeoCache(store, world.resolver, world.clock)
    world.local.places |= dict.fromkeys([f"8.8.{i}.8" for i in range(40)] + ["9.9.9.9"], GOOGLE)
    await cache.lookup_batch(list(world.local.places))
    with capture_logs() as logs:
        assert await cache.flush_dirty() == 1
        world.local.places["8.8.4.4"] = GOOGLE
        await cache.lookup("8.8.4.4")
        assert await cache.flush_dirty() == 0
    said = [(line["event"], line["rows"]) for line in logs if line["log_level"] == "warning"]
    assert said == [("rows_refused", 40)]
    assert (cache.refused, cache.dirty) == (41, 41)
    assert rows(web_app, "country_code") == {"9.9.9.9": ("US",)}


async def test_a_utf_16_database_is_read_and_written_alike(tmp_path: Path) -> None:
    path = tmp_path / "utf16.db"
    with closing(engine.connect(path, isolation_level=None)) as web_app:
        web_app.execute("PRAGMA encoding = 'UTF-16le'")
        web_app.execute("PRAGMA journal_mode = WAL")
        web_app.execute(SESSIONS)
        table(web_app, "asn", "INTEGER")
        web_app.execute("INSERT INTO geo_cache (ip, country_code) VALUES ('9.9.9.9', 'xx'), ('8.8.4.4', x'6465')")
        web_app.execute("INSERT INTO geo_cache (ip, org) VALUES ('2001:4860:4860:0:0:0:0:8888', '-')")
        store = SqliteStore(path, busy_timeout=1.0, max_lock_time=0.01, clock=SystemClock())
        try:
            ips = ("8.8.8.8", "9.9.9.9", "8.8.4.4", "2001:4860:4860::8888")
            await write_all(store, [DirtyEntry(ip, GOOGLE, AT, AT) for ip in ips])
            assert {row.geo.country_code for row in await read_all(store.rows())} == {"US", "DE"}
            assert rows(web_app, "country_code", "asn") == {
                "8.8.8.8": ("US", 15169),
                "9.9.9.9": ("US", 15169),
                "8.8.4.4": (b"de", None),
                "2001:4860:4860:0:0:0:0:8888": ("US", 15169),
            }
        finally:
            await store.close()
