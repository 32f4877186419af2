"""Tables that are not quite what the web app makes today: what is made of them, tried on a real SQLite."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bangeod.clock import SystemClock
from bangeod.model import DirtyEntry, Geo, Row
from bangeod.store.sqlite import queries
from bangeod.store.sqlite.columns import Column, Table, UnfitTableError, geo_table, sessions_table
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.schema import GEO_CACHE, SESSIONS
from bangeod.store.sqlite.store import SqliteStore
from tests.contract.values import read_all, total, write_all

if TYPE_CHECKING:
    from sqlite3 import Connection

ENTRY = DirtyEntry("8.8.8.8", Geo("DE", "Germany", "AS64500", "Example"), 1_795_305_600, 1_795_305_660)
SEEN = "2026-11-22T00:00:00Z"
ROW = Row("8.8.8.8", ENTRY.geo, ENTRY.last_seen)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bangui.db"


@pytest.fixture
def connection(path: Path) -> Iterator["Connection"]:
    with closing(engine.connect(path, isolation_level=None)) as connection:
        yield connection


def look(connection: "Connection", name: str) -> Table:
    """Fit a table the way that the store does."""
    kind, sql = connection.execute(queries.KIND_OF_TABLE, (name,)).fetchone() or (None, None)
    columns = [Column(*row) for row in connection.execute(queries.COLUMNS, (name,))]
    return (geo_table if name == "geo_cache" else sessions_table)(kind, sql, columns)


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, busy_timeout=1.0, max_lock_time=0.01, clock=SystemClock())
    try:
        await store.prepare()
        yield store
    finally:
        await store.close()


async def upsert(connection: "Connection", path: Path) -> dict[str, object]:
    """Write an entry through the store; return its row as the web app sees it."""
    async with opened(path) as store:
        await write_all(store, [ENTRY])
    cursor = connection.execute("SELECT * FROM geo_cache")
    names = [column[0] for column in cursor.description]
    return dict(zip(names, cursor.fetchone(), strict=True))


async def rows(path: Path) -> list[Row]:
    async with opened(path) as store:
        return await read_all(store.rows())


# --- tables that will do ---


async def test_the_web_apps_own_tables_fit(connection: "Connection", path: Path) -> None:
    connection.execute(GEO_CACHE)
    connection.execute(SESSIONS)
    geo, sessions = look(connection, "geo_cache"), look(connection, "sessions")
    assert (geo.key, geo.time) == ("rowid", "last_seen")
    assert (sessions.key, sessions.time) == ("rowid", "expires_at")
    assert await upsert(connection, path) == {
        "ip": "8.8.8.8",
        **ENTRY.geo._asdict(),
        "cached_at": "2026-11-22T00:01:00Z",
        "last_seen": SEEN,
    }
    assert await rows(path) == [ROW]


@pytest.mark.parametrize("missing", ["country_name", "asn", "org", "cached_at", "last_seen"])
async def test_a_column_that_may_be_missing_is_done_without(connection: "Connection", path: Path, missing: str) -> None:
    lines = [line for line in GEO_CACHE.splitlines() if line.split()[0] != missing]
    connection.execute("\n".join(lines).replace("TEXT,\n)", "TEXT\n)"))
    row = await upsert(connection, path)
    assert missing not in row
    assert row["country_code"] == "DE"
    (read,) = await rows(path)
    assert read.geo == ENTRY.geo._replace(**({missing: None} if missing in Geo._fields else {}))


async def test_without_last_seen_the_age_is_that_of_cached_at(connection: "Connection", path: Path) -> None:
    connection.execute("CREATE TABLE geo_cache (ip TEXT PRIMARY KEY, country_code TEXT, cached_at TEXT)")
    assert look(connection, "geo_cache").time == "cached_at"
    await upsert(connection, path)
    assert await rows(path) == [Row("8.8.8.8", Geo("DE"), ENTRY.resolved_at)]


async def test_the_least_that_will_do(connection: "Connection", path: Path) -> None:
    connection.execute("CREATE TABLE geo_cache (ip TEXT PRIMARY KEY, country_code TEXT)")
    assert look(connection, "geo_cache").time is None
    assert await upsert(connection, path) == {"ip": "8.8.8.8", "country_code": "DE"}
    assert await rows(path) == [Row("8.8.8.8", Geo("DE"), None)]


async def test_columns_that_are_not_known_keep_what_they_hold(connection: "Connection", path: Path) -> None:
    connection.execute(GEO_CACHE.replace("org TEXT,", "org TEXT, note TEXT, city TEXT DEFAULT 'nowhere',"))
    connection.execute("INSERT INTO geo_cache (ip, note, city) VALUES ('8.8.8.8', 'mine', 'Berlin')")
    row = await upsert(connection, path)
    assert (row["note"], row["city"], row["country_code"]) == ("mine", "Berlin", "DE")


async def test_a_table_without_rowid_is_paged_by_its_key(connection: "Connection", path: Path) -> None:
    connection.execute(GEO_CACHE + " without\n\trowid")
    assert look(connection, "geo_cache").key == '"ip"'
    await upsert(connection, path)
    assert await rows(path) == [ROW]


@pytest.mark.parametrize(
    "options", ["WITHOUT /* (no) */ ROWID", "/* ) */ WITHOUT ROWID", "STRICT, WITHOUT -- )\n ROWID"]
)
def test_comments_do_not_hide_that_a_table_has_no_rowid(connection: "Connection", options: str) -> None:
    connection.execute(f"{GEO_CACHE} {options}")
    assert look(connection, "geo_cache").key == '"ip"'


def test_a_default_that_says_without_rowid_does_not_make_it_so(connection: "Connection") -> None:
    connection.execute(GEO_CACHE.replace("org TEXT,", "org TEXT DEFAULT ') WITHOUT ROWID',"))
    assert look(connection, "geo_cache").key == "rowid"


async def test_names_in_upper_case_and_in_quotes_fit(connection: "Connection", path: Path) -> None:
    connection.execute(
        'CREATE TABLE "GEO_CACHE" ("IP" TEXT PRIMARY KEY, [Country_Code] TEXT, `ORG` TEXT, LAST_SEEN TEXT)'
        " WITHOUT ROWID"
    )
    assert look(connection, "geo_cache").key == '"IP"'
    row = await upsert(connection, path)
    assert (row["Country_Code"], row["ORG"], row["LAST_SEEN"]) == ("DE", "Example", SEEN)
    assert await rows(path) == [Row("8.8.8.8", Geo("DE", None, None, "Example"), ENTRY.last_seen)]


async def test_a_key_whose_name_needs_quoting_is_quoted(connection: "Connection", path: Path) -> None:
    connection.execute('CREATE TABLE sessions ("a ""{key}"" b" TEXT PRIMARY KEY, expires_at TEXT) WITHOUT ROWID')
    connection.execute("INSERT INTO sessions VALUES ('x', '2001-01-01T00:00:00Z')")
    async with opened(path) as store:
        assert len((await total(store.delete_expired(ENTRY.last_seen))).keys) == 1
    assert connection.execute("SELECT * FROM sessions").fetchall() == []


def test_a_column_that_is_called_rowid_is_not_taken_for_the_rowid(connection: "Connection") -> None:
    connection.execute("CREATE TABLE sessions (rowid TEXT, expires_at TEXT)")
    assert look(connection, "sessions").key == "_rowid_"
    connection.execute("ALTER TABLE sessions ADD COLUMN _ROWID_ TEXT")
    assert look(connection, "sessions").key == "oid"
    connection.execute("ALTER TABLE sessions ADD COLUMN Oid TEXT")
    with pytest.raises(UnfitTableError, match="hide its rowid"):
        look(connection, "sessions")


async def test_a_generated_column_is_not_written(connection: "Connection", path: Path) -> None:
    connection.execute(GEO_CACHE.replace("org TEXT,", "org TEXT AS (upper(ip)) STORED,"))
    row = await upsert(connection, path)
    assert (row["org"], row["asn"]) == ("8.8.8.8", "AS64500")


def test_a_column_for_addresses_that_takes_no_text_is_named(connection: "Connection") -> None:
    connection.execute("CREATE TABLE geo_cache (ip BLOB PRIMARY KEY, country_code TEXT) STRICT")
    with pytest.raises(UnfitTableError, match="column ip of table geo_cache takes bytes alone"):
        look(connection, "geo_cache")


def test_a_key_of_several_columns_is_paged_by_rowid(connection: "Connection") -> None:
    connection.execute("CREATE TABLE sessions (a TEXT, b TEXT, expires_at TEXT, PRIMARY KEY (a, b))")
    assert look(connection, "sessions").key == "rowid"


# --- tables that won't ---


def test_a_table_that_is_missing_is_named(connection: "Connection") -> None:
    with pytest.raises(UnfitTableError, match="there is no table sessions"):
        look(connection, "sessions")


def test_a_view_is_no_table(connection: "Connection") -> None:
    connection.execute("CREATE TABLE t (ip TEXT PRIMARY KEY, country_code TEXT)")
    connection.execute("CREATE VIEW geo_cache AS SELECT * FROM t")
    with pytest.raises(UnfitTableError, match="geo_cache is a view, not a table"):
        look(connection, "geo_cache")


def test_a_virtual_table_cannot_be_worked_with(connection: "Connection") -> None:
    with pytest.raises(UnfitTableError, match="virtual"):
        geo_table("table", "CREATE VIRTUAL TABLE geo_cache USING fts5(ip, country_code)", [Column("ip", 0)])


def test_every_column_that_is_needed_and_missing_is_named(connection: "Connection") -> None:
    connection.execute("CREATE TABLE geo_cache (address TEXT PRIMARY KEY, country TEXT)")
    connection.execute("CREATE TABLE sessions (id INTEGER PRIMARY KEY, token TEXT)")
    with pytest.raises(UnfitTableError, match="table geo_cache has no column ip and no column country_code"):
        look(connection, "geo_cache")
    with pytest.raises(UnfitTableError, match="table sessions has no column expires_at"):
        look(connection, "sessions")


def test_a_table_without_rowid_and_with_a_key_of_several_columns_cannot_be_paged(connection: "Connection") -> None:
    connection.execute("CREATE TABLE sessions (a TEXT, b TEXT, expires_at TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID")
    with pytest.raises(UnfitTableError, match="a primary key of 2 columns"):
        look(connection, "sessions")


@pytest.mark.parametrize("options", ["", " WITHOUT ROWID"])
@pytest.mark.parametrize("statistics", [False, True])
def test_rows_that_are_replaced_are_looked_up_and_the_table_is_not_walked_over(
    connection: "Connection", options: str, statistics: bool
) -> None:
    connection.execute(GEO_CACHE + options)
    connection.executemany("INSERT INTO geo_cache (ip) VALUES (?)", [(f"8.8.8.{number}",) for number in range(200)])
    if statistics:
        connection.execute("ANALYZE")
    plan = connection.execute("EXPLAIN QUERY PLAN " + look(connection, "geo_cache").update(["asn"]), {"rows": "[]"})
    assert not [step for *_, step in plan if step.startswith("SCAN geo_cache")]
