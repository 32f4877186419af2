"""Tables on a server whose columns have other types than text, held against what times.py and the port say."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest

from bangeod.clock import SystemClock, to_text
from bangeod.errors import SchemaError, StoreError, StoreRefusedError
from bangeod.model import Geo, Row
from bangeod.store.postgres.store import PostgresStore
from tests.contract.values import NOW, NOW_TEXT, entry, read_all, total, write_all
from tests.support.servers import postgres_tables
from tests.support.servers.postgres_tables import GEO_CACHE, SESSIONS, Tables

GERMANY = Geo("DE", "Germany", "AS64500", "Example")
TIMES = ("timestamptz", "timestamp", "bigint", "double precision", "numeric", "text", "varchar(40)")

# What each type can say of NOW, and of a moment that is just later.
AT_NOW = {
    "timestamptz": ["2026-11-22 00:00:00+00", "2026-11-22 02:00:00+02", "2026-11-21 23:59:59.999999+00"],
    "timestamp": ["2026-11-22 00:00:00", "2026-11-21 23:59:59.999999"],
    "bigint": [str(NOW), str(NOW - 1)],
    "integer": [str(NOW)],
    "double precision": [str(NOW), f"{NOW - 1}.999999"],
    "numeric": [str(NOW), f"{NOW - 1}.9999999"],
}
LATER = {
    "timestamptz": ["2026-11-22 00:00:00.000001+00", "2026-11-22 00:00:00-00:01", "9999-12-31 23:59:59+00"],
    "timestamp": ["2026-11-22 00:00:00.000001", "9999-12-31 23:59:59.999999"],
    "bigint": [str(NOW + 1), "7258118399"],
    "integer": [str(NOW + 1)],
    "double precision": [f"{NOW}.000001", "7258118399.5"],
    "numeric": [f"{NOW}.000001", "7258118399.9999999"],
}
UNREADABLE: Mapping[str, Sequence[str | None]] = {
    "timestamptz": ["infinity", "-infinity", "4713-01-01 00:00:00+00 BC", "10000-01-01 00:00:00+00", None],
    "timestamp": ["infinity", "-infinity", "0001-12-31 00:00:00 BC", "294276-01-01 00:00:00", None],
    "bigint": ["0", "-1", str(NOW * 1000), "631151999", "7258118400", str(2**63 - 1), None],
    "integer": ["0", "-1", "-2147483648"],
    "double precision": ["infinity", "-infinity", "NaN", "2461375.722", "631151999.9", "1e308"],
    "numeric": ["NaN", "2461375.722", "1e100", "-1"],
    "date": ["2000-01-01"],
    "bytea": ["0"],
}


def cases(of_each: Mapping[str, Sequence[str | None]]) -> list[tuple[str, str | None]]:
    return [(kind, value) for kind, values in of_each.items() for value in values]


@asynccontextmanager
async def opened(tables: Tables) -> AsyncIterator[PostgresStore]:
    store = tables.store()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
def sessions_of(request: pytest.FixtureRequest) -> Iterator[Tables]:
    with postgres_tables.made(GEO_CACHE, SESSIONS.replace("expires_at TEXT", f"expires_at {request.param}")) as tables:
        yield tables


async def expire(tables: Tables, value: str | None) -> tuple[int, int]:
    """Put a session that expires then; return how many are deleted and how many unreadable."""
    tables.web_app.execute("INSERT INTO sessions (id, expires_at) VALUES (1, %s)", (value,))
    async with opened(tables) as store:
        census = await store.count_expired(NOW)
        deleted = await total(store.delete_expired(NOW))
    assert (census.matching, census.unreadable) == (len(deleted.keys), deleted.unreadable)
    assert len(tables.rows("SELECT 1 FROM sessions")) == 1 - len(deleted.keys)
    assert (deleted.example is None) == (not deleted.unreadable)
    return len(deleted.keys), deleted.unreadable


@pytest.mark.parametrize(("sessions_of", "value"), cases(AT_NOW), indirect=["sessions_of"])
async def test_a_session_expires_at_the_very_second_whatever_the_type(sessions_of: Tables, value: str) -> None:
    assert await expire(sessions_of, value) == (1, 0)


@pytest.mark.parametrize(("sessions_of", "value"), cases(LATER), indirect=["sessions_of"])
async def test_no_live_session_is_deleted_whatever_the_type(sessions_of: Tables, value: str) -> None:
    assert await expire(sessions_of, value) == (0, 0)


@pytest.mark.parametrize(("sessions_of", "value"), cases(UNREADABLE), indirect=["sessions_of"])
async def test_a_time_that_is_none_is_kept_and_counted_whatever_the_type(
    sessions_of: Tables, value: str | None
) -> None:
    assert await expire(sessions_of, value) == (0, 1)


def typed(times: str, ip: str = "TEXT", asn: str = "TEXT") -> Sequence[str]:
    """Return the statements that make geo_cache with columns of these types."""
    columns = f"country_code CHAR(2), country_name VARCHAR(12), asn {asn}, org VARCHAR(10)"
    return (
        f"CREATE TABLE geo_cache (ip {ip} PRIMARY KEY, {columns}, cached_at {times}, last_seen {times})",
        SESSIONS,
    )


@pytest.mark.parametrize("times", TIMES)
async def test_a_time_is_written_in_the_columns_own_type_and_read_again(times: str) -> None:
    with postgres_tables.made(*typed(times)) as tables:
        async with opened(tables) as store:
            await write_all(store, [entry("8.8.8.8", "DE", seen=NOW - 86_400)])
            await write_all(store, [entry("8.8.8.8", "DE"), entry("9.9.9.9")])
            found = await store.find(["8.8.8.8", "9.9.9.9"])
            assert {ip: row.last_seen for ip, row in found.items()} == {"8.8.8.8": NOW, "9.9.9.9": NOW}
            await write_all(store, [entry("8.8.8.8", "DE", seen=NOW - 1)])
            assert (await store.find(["8.8.8.8"]))["8.8.8.8"].last_seen == NOW  # never back
            assert {row.last_seen for row in await read_all(store.rows())} == {NOW}
            deleted = await total(store.delete_stale(NOW + 1, keep=lambda key: key == "9.9.9.9"))
            assert deleted == (["8.8.8.8"], 0, None)
        assert [str(ip) for (ip,) in tables.rows("SELECT ip FROM geo_cache")] == ["9.9.9.9"]


@pytest.mark.parametrize(
    ("column", "written"),
    [
        ("text CHECK (last_seen ~ '^[0-9-]{10} [0-9:]{8}$')", "2026-11-22 00:00:00"),
        ("text CHECK (last_seen LIKE '%+00:00')", "2026-11-22 00:00:00+00:00"),
        ("text CHECK (CAST(last_seen AS bigint) > 0)", str(NOW)),  # an error with all that is no number
        ("varchar(19)", "2026-11-22 00:00:00"),
        ("varchar(10) CHECK (last_seen <> '')", str(NOW)),
        ("text CHECK (last_seen IS NOT NULL) CHECK (length(last_seen) > 25)", "2026-11-22 00:00:00.000000"),
        ("text", NOW_TEXT),
    ],
)
async def test_the_first_time_of_a_column_of_text_is_written_as_its_constraints_allow(
    column: str, written: str
) -> None:
    table = f"CREATE TABLE geo_cache (ip text PRIMARY KEY, country_code text, last_seen {column})"
    with postgres_tables.made(table, SESSIONS) as tables:
        async with opened(tables) as store:
            assert await write_all(store, [entry("8.8.8.8", "DE")]) == [entry("8.8.8.8", "DE")]
        assert tables.rows("SELECT last_seen FROM geo_cache") == [(written,)]


async def test_above_the_cap_the_rows_seen_longest_ago_go_whatever_the_type() -> None:
    with postgres_tables.made(*typed("timestamptz", "inet")) as tables:
        async with opened(tables) as store:
            await write_all(store, [entry(f"8.8.8.{i}", "DE", seen=NOW - i) for i in range(9)])
            assert (await store.count_stale(NOW - 100, keep=lambda _key: False, max_rows=5)).matching == 4
            await total(store.delete_stale(NOW - 100, keep=lambda _key: False, max_rows=5))
            assert sorted(row.key for row in await read_all(store.rows())) == [f"8.8.8.{i}" for i in range(5)]


async def test_a_column_of_addresses_is_found_and_written_by_address() -> None:
    with postgres_tables.made(*typed("timestamptz", "inet")) as tables:
        tables.web_app.execute(
            "INSERT INTO geo_cache (ip) VALUES ('::ffff:8.8.8.8'), ('2001:4860:4860::8888'), ('10.0.0.0/8')"
        )
        async with opened(tables) as store:
            ips = ["8.8.8.8", "2001:4860:4860::8888", "9.9.9.9", "no address", "fe80::1%eth0"]
            await write_all(store, [entry(ip, "US") for ip in ips[:3]])
            found = await store.find(ips)
            assert {ip: row.key for ip, row in found.items()} == {
                "8.8.8.8": "::ffff:8.8.8.8",
                "2001:4860:4860::8888": "2001:4860:4860::8888",
                "9.9.9.9": "9.9.9.9",
            }
            assert {row.geo.country_code for row in found.values()} == {"US"}
            keys = sorted(row.key for row in await read_all(store.rows()))
            assert keys == ["10.0.0.0/8", "2001:4860:4860::8888", "9.9.9.9", "::ffff:8.8.8.8"]


async def test_a_number_of_an_as_may_be_a_number() -> None:
    with postgres_tables.made(*typed("text", asn="BIGINT")) as tables:
        async with opened(tables) as store:
            await write_all(store, [entry("8.8.8.8", "DE", name="Germany", asn="AS64500", org="Example")])
            assert (await store.find(["8.8.8.8"]))["8.8.8.8"].geo == GERMANY
        assert tables.rows("SELECT asn FROM geo_cache") == [(64500,)]


async def test_a_name_is_cut_where_its_column_has_no_room_and_an_address_is_refused() -> None:
    with postgres_tables.made(*typed("text", ip="VARCHAR(15)")) as tables:
        async with opened(tables) as store:
            entries = [
                entry(ip, "DE", name="A long name of it", org="An organisation")
                for ip in ("8.8.8.8", "2a00::11:22:33:44")
            ]
            with pytest.raises(StoreRefusedError, match="too long") as refusal:
                await write_all(store, entries)
            assert refusal.value.ips == {"2a00::11:22:33:44"}
        assert tables.rows("SELECT ip, country_name, org FROM geo_cache") == [("8.8.8.8", "A long name ", "An organis")]


async def test_where_null_is_not_allowed_a_default_stands_for_it_or_nothing_does() -> None:
    columns = "country_code TEXT NOT NULL DEFAULT 'XX', country_name TEXT NOT NULL, asn INTEGER NOT NULL, org TEXT"
    with postgres_tables.made(
        f"CREATE TABLE geo_cache (id SERIAL, ip TEXT PRIMARY KEY, {columns}, last_seen TIMESTAMPTZ NOT NULL)", SESSIONS
    ) as tables:
        async with opened(tables) as store:
            await write_all(store, [entry("8.8.8.8")])
            assert await read_all(store.unresolved()) == [Row("8.8.8.8", Geo(), NOW)]
            await write_all(store, [entry("8.8.8.8", "DE", name="Germany", asn="AS64500")])
            assert (await store.find(["8.8.8.8"]))["8.8.8.8"].geo == GERMANY._replace(org=None)


async def test_a_column_that_can_not_be_filled_keeps_new_rows_out_and_old_ones_up_to_date() -> None:
    with postgres_tables.made(GEO_CACHE.replace("ip TEXT", "host TEXT NOT NULL, ip TEXT"), SESSIONS) as tables:
        tables.web_app.execute("INSERT INTO geo_cache (host, ip) VALUES ('a', '8.8.8.8')")
        async with opened(tables) as store:
            with pytest.raises(StoreRefusedError, match="host is NOT NULL and has no default") as refusal:
                await write_all(store, [entry("8.8.8.8", "DE"), entry("9.9.9.9", "DE")])
            assert refusal.value.ips == {"9.9.9.9"}
        assert tables.rows("SELECT ip, country_code FROM geo_cache") == [("8.8.8.8", "DE")]


async def test_columns_that_may_be_missing_are_not_missed_and_others_keep_what_they_hold() -> None:
    with postgres_tables.made(
        "CREATE TABLE geo_cache (note TEXT DEFAULT 'new', ip TEXT PRIMARY KEY, country_code TEXT,"
        " cached_at TIMESTAMPTZ)"
    ) as tables:
        tables.web_app.execute("INSERT INTO geo_cache (ip, note) VALUES ('8.8.8.8', 'mine')")
        async with opened(tables) as store:
            await write_all(store, [entry(ip, "DE", name="Germany", asn="AS64500") for ip in ("8.8.8.8", "9.9.9.9")])
            assert await store.names_by_code() == {}
            assert {row.key: row.geo for row in await read_all(store.rows())} == {
                "8.8.8.8": Geo("DE"),
                "9.9.9.9": Geo("DE"),
            }
            assert (await store.count_stale(NOW + 3_600, keep=lambda _key: False)).matching == 2
            with pytest.raises(SchemaError, match="there is no table sessions"):
                await store.count_expired(NOW)
        assert dict(tables.rows("SELECT ip, note FROM geo_cache")) == {"8.8.8.8": "mine", "9.9.9.9": "new"}


async def test_a_table_that_is_partitioned_by_time_is_worked_with() -> None:
    with postgres_tables.made(
        "CREATE TABLE geo_cache (ip INET, country_code TEXT, last_seen TIMESTAMPTZ, PRIMARY KEY (ip, last_seen))"
        " PARTITION BY RANGE (last_seen)",
        f"CREATE TABLE geo_old PARTITION OF geo_cache FOR VALUES FROM (MINVALUE) TO ('{to_text(NOW - 60)}')",
        f"CREATE TABLE geo_new PARTITION OF geo_cache FOR VALUES FROM ('{to_text(NOW - 60)}') TO (MAXVALUE)",
    ) as tables:
        async with opened(tables) as store:
            ips = [f"8.8.{i // 256}.{i % 256}" for i in range(600)]
            await write_all(store, [entry(ip, seen=NOW - 3_600) for ip in ips])
            await write_all(store, [entry(ip, "DE") for ip in ips[:300]])  # each moves to the other partition
            rows = {row.key: row for row in await read_all(store.rows())}
            assert {key for key, row in rows.items() if row.last_seen == NOW} == set(ips[:300])
            assert len((await total(store.delete_stale(NOW - 60, keep=lambda _key: False))).keys) == 300
        assert tables.rows("SELECT count(*) FROM geo_cache") == [(300,)]


@pytest.mark.parametrize(
    ("statements", "problem"),
    [
        ((), "there is no table geo_cache in schema"),
        (("CREATE VIEW geo_cache AS SELECT '8.8.8.8' AS ip, 'DE' AS country_code",), "geo_cache is a view"),
        (("CREATE TABLE geo_cache (ip TEXT PRIMARY KEY)",), "has no column country_code"),
        (("CREATE TABLE geo_cache (ip TEXT, country_code TEXT)",), "neither a primary key nor another unique index"),
        (
            ("CREATE TABLE geo_cache (ip BYTEA PRIMARY KEY, country_code TEXT)",),
            "column ip of table geo_cache is bytea",
        ),
        (
            ("CREATE TABLE geo_cache (ip TEXT PRIMARY KEY, country_code TEXT GENERATED ALWAYS AS (ip) STORED)",),
            "column country_code of table geo_cache is generated",
        ),
    ],
)
async def test_a_table_that_can_not_be_worked_with_is_one_clear_error(statements: Sequence[str], problem: str) -> None:
    with postgres_tables.made(SESSIONS, *statements) as tables:
        async with opened(tables) as store:
            await store.prepare()
            with pytest.raises(SchemaError, match=problem):
                await read_all(store.rows())
            assert (await store.count_expired(NOW)).matching == 0  # the other table is worked with


async def test_odd_rows_are_read_and_never_fatal() -> None:
    with postgres_tables.made(*typed("timestamptz"), SESSIONS.replace("sessions", "others")) as tables:
        tables.web_app.execute(
            "INSERT INTO geo_cache (ip, country_code, last_seen) VALUES ('', 'de', 'infinity'),"
            " ('300.1.2.3', 'XX', '4713-01-01 BC'), ('8.8.8.8', 'Z', '10000-01-01')"
        )
        async with opened(tables) as store:
            rows = {row.key: (row.geo.country_code, row.last_seen) for row in await read_all(store.rows())}
            assert rows == {"": ("DE", None), "300.1.2.3": (None, None), "8.8.8.8": (None, None)}
            await write_all(store, [entry("8.8.8.8", "US")])
            assert (await store.find(["8.8.8.8"]))["8.8.8.8"] == Row("8.8.8.8", Geo("US"), None)


async def test_a_database_that_stores_any_bytes_is_read_and_a_key_that_is_no_text_is_told_of() -> None:
    with postgres_tables.made(GEO_CACHE, SESSIONS, encoding="SQL_ASCII") as tables:
        put = "INSERT INTO geo_cache (ip, country_code, org) VALUES ({}, 'DE', convert_from('\\x4dfc', 'SQL_ASCII'))"
        tables.web_app.execute("SET client_encoding = 'SQL_ASCII'")
        tables.web_app.execute(put.format("'8.8.8.8'"))
        async with opened(tables) as store:
            assert [row.geo.org for row in await read_all(store.rows())] == ["M\N{REPLACEMENT CHARACTER}"]
            await write_all(store, [entry("8.8.8.8", "DE", org="Example"), entry("9.9.9.9", "FR", org="München")])
            assert (await store.find(["9.9.9.9"]))["9.9.9.9"].geo.org == "München"
            for i in range(1_000):
                tables.web_app.execute(put.format(f"convert_from('\\x4dfc', 'SQL_ASCII') || '{i}'"))
            with pytest.raises(StoreError, match="is not UTF-8"):
                await read_all(store.rows())


async def test_the_tables_are_found_on_the_roles_own_path_where_no_schema_is_named() -> None:
    with postgres_tables.made(GEO_CACHE, SESSIONS) as tables:
        with tables.role("ALL ON geo_cache, sessions") as role:
            tables.web_app.execute(f"ALTER ROLE {role} SET search_path = {tables.schema}")
            store = PostgresStore(tables.server.conninfo(tables.database, role), SystemClock())
            try:
                await write_all(store, [entry("8.8.8.8", "DE")])
            finally:
                await store.close()
        assert tables.rows("SELECT ip, last_seen FROM geo_cache") == [("8.8.8.8", NOW_TEXT)]
