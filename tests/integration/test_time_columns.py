"""Time columns of every type that web apps declare: what bangeod writes into them, and how it compares."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bangeod.clock import SystemClock, to_text
from bangeod.store.sqlite import schema, time_form_watch
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.store import SqliteStore
from tests.contract.values import NOW, NOW_TEXT, entry, total, write_all

if TYPE_CHECKING:
    from sqlite3 import Connection

NAIVE = "2026-11-21 05:21:26.722751"
NOW_NAIVE = "2026-11-22 00:00:00.000000"


@asynccontextmanager
async def store_over(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, busy_timeout=1.0, max_lock_time=0.01, clock=SystemClock())
    try:
        await store.prepare()
        yield store
    finally:
        await store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bangui.db"


def make(path: Path, declared: str, options: str = "") -> "Connection":
    """Make a database whose times are of such a type; return the web app's connection to it."""
    connection: Connection = engine.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    for statement in (schema.GEO_CACHE, schema.SESSIONS):
        for column in ("cached_at", "last_seen", "created_at", "expires_at"):
            statement = statement.replace(f"{column} TEXT", f"{column} {declared}")  # noqa: PLW2901
        connection.execute(statement + options)
    return connection


def stored(web_app: "Connection", ip: str = "8.8.8.8") -> tuple[object, str]:
    found: tuple[object, str] = web_app.execute(
        "SELECT last_seen, typeof(last_seen) FROM geo_cache WHERE ip = ?", (ip,)
    ).fetchone()
    return found


TYPES = [
    ("TEXT", "", NOW_TEXT, "text"),
    ("", "", NOW_TEXT, "text"),
    ("DATETIME", "", NOW_TEXT, "text"),
    ("TIMESTAMP", "", NOW_TEXT, "text"),
    ("INTEGER", "", NOW, "integer"),
    ("BIGINT NOT NULL", "", NOW, "integer"),
    ("NUMERIC", "", NOW, "integer"),
    ("REAL", "", NOW, "real"),
    ("DOUBLE", "", NOW, "real"),
    ("TEXT", "STRICT", NOW_TEXT, "text"),
    ("ANY", "STRICT", NOW_TEXT, "text"),
    ("INT", "STRICT", NOW, "integer"),
    ("INTEGER", "STRICT", NOW, "integer"),
    ("REAL", "STRICT", NOW, "real"),
]


@pytest.mark.parametrize(("declared", "options", "value", "type_name"), TYPES)
async def test_the_first_row_has_the_time_that_the_type_asks_for(
    path: Path, declared: str, options: str, value: object, type_name: str
) -> None:
    with closing(make(path, declared, options)) as web_app:
        async with store_over(path) as store:
            await write_all(store, [entry("8.8.8.8", "US")])
        assert stored(web_app) == (value, type_name)


@pytest.mark.parametrize(("declared", "options", "value", "type_name"), TYPES)
async def test_a_time_moves_forward_and_never_back(
    path: Path, declared: str, options: str, value: object, type_name: str
) -> None:
    with closing(make(path, declared, options)) as web_app:
        async with store_over(path) as store:
            await write_all(store, [entry("8.8.8.8", "US", seen=NOW - 1)])
            await write_all(store, [entry("8.8.8.8", "US")])
            assert stored(web_app) == (value, type_name)
            await write_all(store, [entry("8.8.8.8", "US", seen=NOW - 1)])
        assert stored(web_app) == (value, type_name)


@pytest.mark.parametrize(
    ("declared", "options", "of_web_app", "written"),
    [
        ("INTEGER", "", NOW - 60, NOW),
        ("INTEGER", "", NOW - 60.5, NOW),
        ("INTEGER", "", to_text(NOW - 60), NOW),  # as an earlier bangeod wrote it
        ("INTEGER", "STRICT", NOW - 60, NOW),
        ("REAL", "", NOW - 60.5, float(NOW)),
        ("TEXT", "", str(NOW - 60), str(NOW)),
        ("TEXT", "STRICT", NAIVE, NOW_NAIVE),
        ("ANY", "STRICT", NOW - 60, NOW),
        ("ANY", "STRICT", str(NOW - 60), str(NOW)),
        ("DATETIME", "", NAIVE, NOW_NAIVE),
        ("TIMESTAMP", "", NOW - 60, NOW),
        ("NUMERIC", "", NAIVE, NOW_NAIVE),
    ],
)
async def test_rows_of_both_sides_compare_as_the_times_do(
    path: Path, declared: str, options: str, of_web_app: object, written: object
) -> None:
    with closing(make(path, declared, options)) as web_app:
        web_app.execute("INSERT INTO geo_cache (ip, last_seen) VALUES ('9.9.9.9', ?)", (of_web_app,))
        async with store_over(path) as store:
            await write_all(store, [entry("8.8.8.8", "US"), entry("9.9.9.9", "US")])
        assert stored(web_app)[0] == stored(web_app, "9.9.9.9")[0] == written
        assert type(stored(web_app)[0]) is type(written)


@pytest.mark.parametrize(("declared", "options", "value", "type_name"), TYPES)
async def test_rows_that_bangeod_wrote_are_deleted_when_they_are_stale(
    path: Path, declared: str, options: str, value: object, type_name: str
) -> None:
    del value, type_name
    with closing(make(path, declared, options)):
        async with store_over(path) as store:
            await write_all(store, [entry("8.8.8.8", "US", seen=NOW - 1), entry("9.9.9.9", "US")])
            deleted = await total(store.delete_stale(NOW, keep=lambda _: False))
        assert deleted == (["8.8.8.8"], 0, None)


@pytest.mark.parametrize(
    ("check", "written"),
    [
        ("typeof({c}) = 'integer'", NOW),
        ("typeof({c}) = 'real'", float(NOW)),
        ("{c} GLOB '????-??-?? *'", "2026-11-22 00:00:00"),
        ("{c} GLOB '*.[0-9][0-9][0-9][0-9][0-9][0-9]'", "2026-11-22 00:00:00.000000"),
        ("{c} LIKE '%+00:00'", "2026-11-22 00:00:00+00:00"),
        ("{c} LIKE '2%'", NOW_TEXT),
    ],
)
@pytest.mark.parametrize("columns", [("last_seen",), ("cached_at", "last_seen")])
async def test_the_first_row_has_a_time_that_the_constraints_allow(
    path: Path, check: str, written: object, columns: tuple[str, ...]
) -> None:
    constraints = "".join(f", CHECK ({check.format(c=column)})" for column in columns)
    with closing(engine.connect(path, isolation_level=None)) as web_app:
        untyped = schema.GEO_CACHE.replace("_at TEXT", "_at").replace("last_seen TEXT", "last_seen")
        web_app.execute(untyped.rstrip().removesuffix(")") + constraints + ")")
        web_app.execute(schema.SESSIONS)
        async with store_over(path) as store:
            await write_all(store, [entry("8.8.8.8", "US")])
        assert stored(web_app)[0] == written
        assert type(stored(web_app)[0]) is type(written)


# --- where the form is looked for ---


def add(web_app: "Connection", rows: int, seen: str) -> None:
    """Add rows of one time at the end of the table."""
    (last,) = web_app.execute("SELECT coalesce(max(rowid), 0) FROM geo_cache").fetchone()
    web_app.execute("BEGIN")
    web_app.executemany(
        "INSERT INTO geo_cache (rowid, ip, last_seen) VALUES (?, ?, ?)",
        ((last + i, f"row {last + i}", seen) for i in range(1, rows + 1)),
    )
    web_app.execute("COMMIT")


async def written_after(path: Path, web_app: "Connection") -> object:
    async with store_over(path) as store:
        await write_all(store, [entry("8.8.8.8")])
    return stored(web_app)[0]


async def test_the_form_is_that_of_the_latest_rows(path: Path) -> None:
    with closing(make(path, "DATETIME")) as web_app:
        add(web_app, time_form_watch.LATEST[0], to_text(NOW))
        add(web_app, time_form_watch.LATEST[0], NAIVE)
        assert await written_after(path, web_app) == NOW_NAIVE


async def test_the_form_is_looked_for_in_more_rows_where_none_of_the_latest_can_be_read(path: Path) -> None:
    with closing(make(path, "DATETIME")) as web_app:
        add(web_app, 1, NAIVE)
        add(web_app, time_form_watch.LATEST[0], "yesterday")
        assert await written_after(path, web_app) == NOW_NAIVE


async def test_the_form_is_not_looked_for_in_the_whole_of_a_large_table(path: Path) -> None:
    with closing(make(path, "DATETIME")) as web_app:
        add(web_app, 1, NAIVE)
        add(web_app, time_form_watch.LATEST[-1], "yesterday")
        assert await written_after(path, web_app) == NOW_TEXT


async def test_a_column_that_gets_another_type_gets_another_form(path: Path) -> None:
    with closing(make(path, "TEXT")) as web_app:
        async with store_over(path) as store:
            await write_all(store, [entry("9.9.9.9")])
            web_app.execute("DROP TABLE geo_cache")
            web_app.execute(schema.GEO_CACHE.replace("last_seen TEXT", "last_seen INTEGER"))
            await store.prepare()
            await write_all(store, [entry("8.8.8.8")])
        assert stored(web_app) == (NOW, "integer")


async def test_another_database_at_the_path_has_a_form_of_its_own(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    make(path, "TEXT").close()
    with closing(make(other, "TEXT")) as web_app:
        web_app.execute("INSERT INTO geo_cache (ip, last_seen) VALUES ('9.9.9.9', ?)", (NAIVE,))
    async with store_over(path) as store:
        await write_all(store, [entry("9.9.9.9")])
        other.rename(path)
        await store.prepare()
        await write_all(store, [entry("8.8.8.8")])
    with closing(engine.connect(path)) as web_app:
        assert stored(web_app)[0] == NOW_NAIVE
