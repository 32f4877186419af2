"""What others do on the server while bangeod writes: rows that are locked, changed, refused or not permitted."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING

import pytest

from bangeod.clock import to_text
from bangeod.errors import StoreLockedError, StoreReadOnlyError, StoreRefusedError
from bangeod.store.postgres import queries, session
from bangeod.store.postgres.session import Rows, Values
from bangeod.store.postgres.store import PostgresStore
from tests.contract.values import NOW, NOW_TEXT, entry, read_all, refused, total, write_all
from tests.support.servers import postgres_tables
from tests.support.servers.postgres_tables import GEO_CACHE, SESSIONS, Tables

if TYPE_CHECKING:
    from bangeod.store.postgres.driver import Connection

OLD = "2000-01-01T00:00:00Z"


@pytest.fixture
def tables() -> Iterator[Tables]:
    with postgres_tables.made(GEO_CACHE, SESSIONS) as tables:
        yield tables


@pytest.fixture
async def store(tables: Tables) -> AsyncIterator[PostgresStore]:
    store = tables.store(busy_timeout=0.05)
    yield store
    await store.close()


def nothing(_key: str) -> bool:
    return False


def put(tables: Tables, *ips: str, last_seen: str = OLD) -> None:
    for ip in ips:
        tables.web_app.execute("INSERT INTO geo_cache (ip, last_seen) VALUES (%s, %s)", (ip, last_seen))


async def test_a_row_that_somebody_has_locked_is_left_to_the_next_run_and_the_others_go(
    tables: Tables, store: PostgresStore
) -> None:
    put(tables, "8.8.8.8", "9.9.9.9", "1.1.1.1")
    with tables.web_app.transaction():
        tables.web_app.execute("SELECT 1 FROM geo_cache WHERE ip = '9.9.9.9' FOR UPDATE")
        assert await total(store.delete_stale(NOW, keep=nothing)) == (["1.1.1.1", "8.8.8.8"], 0, None)
    assert await total(store.delete_stale(NOW, keep=nothing)) == (["9.9.9.9"], 0, None)


async def test_a_row_that_is_locked_for_too_long_is_one_error_once_all_others_are_written(
    tables: Tables, store: PostgresStore
) -> None:
    put(tables, "8.8.8.8", "9.9.9.9", "1.1.1.1")
    entries = [entry(ip, "DE") for ip in ("8.8.8.8", "9.9.9.9", "1.1.1.1")]
    with tables.web_app.transaction():
        tables.web_app.execute("SELECT 1 FROM geo_cache WHERE ip = '9.9.9.9' FOR UPDATE")
        with pytest.raises(StoreLockedError):
            await write_all(store, entries)
        assert tables.rows("SELECT ip FROM geo_cache WHERE country_code = 'DE' ORDER BY ip") == [
            ("1.1.1.1",),
            ("8.8.8.8",),
        ]
    assert await write_all(store, entries) == entries
    assert tables.rows("SELECT DISTINCT country_code FROM geo_cache") == [("DE",)]


async def test_a_row_that_is_locked_for_a_while_is_waited_for(tables: Tables) -> None:
    put(tables, "8.8.8.8", "9.9.9.9")
    patient = tables.store(busy_timeout=10.0)
    other = tables.another()
    other.execute("BEGIN")
    other.execute("UPDATE geo_cache SET org = 'mine' WHERE ip = '9.9.9.9'")
    written = []
    try:
        async for part in patient.write([entry("8.8.8.8", "DE"), entry("9.9.9.9", "DE")]):
            written += [each.ip for each in part]
            if written == ["8.8.8.8"]:
                other.execute("COMMIT")
    finally:
        other.close()
        await patient.close()
    assert written == ["8.8.8.8", "9.9.9.9"]
    assert tables.rows("SELECT country_code, org FROM geo_cache WHERE ip = '9.9.9.9'") == [("DE", "mine")]


async def test_a_row_that_says_already_what_is_to_be_written_is_not_written(
    tables: Tables, store: PostgresStore
) -> None:
    await write_all(store, [entry("8.8.8.8", "DE"), entry("9.9.9.9", "FR")])
    before = tables.rows("SELECT ip, ctid, xmin FROM geo_cache ORDER BY ip")
    await write_all(store, [entry("8.8.8.8", "DE"), entry("9.9.9.9", "FR", seen=NOW - 1)])
    assert tables.rows("SELECT ip, ctid, xmin FROM geo_cache ORDER BY ip") == before


async def test_a_constraint_refuses_its_row_alone(tables: Tables, store: PostgresStore) -> None:
    tables.web_app.execute("ALTER TABLE geo_cache ADD CHECK (country_code <> 'FR')")
    ips = [f"8.8.8.{i}" for i in range(100)]
    entries = [entry(ip, "FR" if ip == "8.8.8.50" else "DE") for ip in ips]
    with pytest.raises(StoreRefusedError, match="check constraint") as refusal:
        await write_all(store, entries)
    assert refusal.value.ips == {"8.8.8.50"}
    assert {ip for (ip,) in tables.rows("SELECT ip FROM geo_cache")} == {*ips} - {"8.8.8.50"}


async def test_a_trigger_that_returns_null_keeps_rows_as_they_are_and_is_told_of(
    tables: Tables, store: PostgresStore
) -> None:
    put(tables, "8.8.8.8", "9.9.9.9")
    tables.web_app.execute(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF coalesce(OLD.ip, NEW.ip) IN ('9.9.9.9', '1.1.1.1') THEN RETURN NULL; END IF;"
        " RETURN coalesce(NEW, OLD); END $$"
    )
    tables.web_app.execute(
        "CREATE TRIGGER keep BEFORE INSERT OR UPDATE OR DELETE ON geo_cache FOR EACH ROW EXECUTE FUNCTION keep()"
    )
    with pytest.raises(StoreRefusedError, match="without an error") as refusal:
        await write_all(store, [entry(ip, "DE") for ip in ("8.8.8.8", "9.9.9.9", "1.1.1.1", "8.8.4.4")])
    assert refusal.value.ips == {"9.9.9.9", "1.1.1.1"}
    found = await refused(store.delete_stale(NOW + 1, keep=nothing))
    assert (found.keys, found.refused) == (["8.8.4.4", "8.8.8.8"], 1)
    assert found.refusal is not None
    assert (found.refusal.key, "without an error" in found.refusal.problem) == ("9.9.9.9", True)


@pytest.mark.parametrize("when", ["", " DEFERRABLE INITIALLY DEFERRED"])
async def test_a_foreign_key_keeps_its_row_alone(tables: Tables, store: PostgresStore, when: str) -> None:
    for number in range(100):
        tables.web_app.execute(
            "INSERT INTO sessions (id, token, expires_at) VALUES (%s, %s, %s)", (number, number, OLD)
        )
    tables.web_app.execute(f"CREATE TABLE notes (session BIGINT REFERENCES sessions{when})")
    tables.web_app.execute("INSERT INTO notes VALUES (70)")
    found = await refused(store.delete_expired(NOW))
    assert (len(found.keys), found.refused) == (99, 1)
    assert found.refusal is not None
    assert found.refusal.key == "id = 70"
    assert "foreign key" in found.refusal.problem
    assert tables.rows("SELECT id FROM sessions") == [(70,)]


async def test_a_session_is_never_named_by_its_token(tables: Tables, store: PostgresStore) -> None:
    tables.web_app.execute("DROP TABLE sessions")
    tables.web_app.execute("CREATE TABLE sessions (token TEXT PRIMARY KEY, expires_at TEXT)")
    tables.web_app.execute("INSERT INTO sessions VALUES ('abcdefgh', %s)", (OLD,))
    tables.web_app.execute("CREATE TABLE notes (session TEXT REFERENCES sessions)")
    tables.web_app.execute("INSERT INTO notes VALUES ('abcdefgh')")
    found = await refused(store.delete_expired(NOW))
    assert found.refusal is not None
    assert found.refusal.key == "token = 'abcd…'"


async def test_what_is_not_permitted_is_a_clear_error(tables: Tables) -> None:
    put(tables, "8.8.8.8")
    with tables.role("SELECT ON geo_cache, sessions") as role:
        store = tables.store(user=role)
        try:
            assert len(await read_all(store.rows())) == 1
            with pytest.raises(StoreReadOnlyError, match="permission denied for table geo_cache") as error:
                await write_all(store, [entry("8.8.8.8", "DE")])
            assert "grant bangeod's role" in error.value.advice
            with pytest.raises(StoreReadOnlyError):
                await read_all(store.delete_stale(NOW, keep=nothing))
        finally:
            await store.close()


async def test_to_delete_sessions_one_need_not_be_permitted_to_update_them(tables: Tables) -> None:
    tables.web_app.execute("INSERT INTO sessions (id, expires_at) VALUES (1, %s)", (OLD,))
    with tables.role("SELECT, DELETE ON sessions") as role:
        store = tables.store(user=role)
        try:
            assert len((await total(store.delete_expired(NOW))).keys) == 1
        finally:
            await store.close()


PARTITIONED = (
    "CREATE TABLE sessions (id BIGINT PRIMARY KEY, expires_at TEXT) PARTITION BY HASH (id)",
    "CREATE TABLE sessions_all PARTITION OF sessions FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
)


@pytest.mark.parametrize("statements", [(SESSIONS,), PARTITIONED])
async def test_a_session_that_is_renewed_while_its_lock_is_waited_for_stays(statements: Sequence[str]) -> None:
    with postgres_tables.made(GEO_CACHE, *statements) as tables:
        tables.web_app.execute("INSERT INTO sessions (id, expires_at) VALUES (1, %s)", (OLD,))
        with tables.role("SELECT, DELETE ON sessions") as role:  # so no row can be locked beforehand
            store = tables.store(user=role, busy_timeout=30.0)
            try:
                with tables.web_app.transaction():
                    tables.web_app.execute("UPDATE sessions SET expires_at = %s", (to_text(NOW + 60),))
                    deleting = asyncio.ensure_future(total(store.delete_expired(NOW)))
                    await until_somebody_waits(tables)
                assert (await deleting).keys == []
            finally:
                await store.close()
        assert tables.rows("SELECT id FROM sessions") == [(1,)]


async def until_somebody_waits(tables: Tables) -> None:
    with tables.another() as other:
        while not other.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():  # noqa: ASYNC110 - the server does not tell
            await asyncio.sleep(0.01)


@pytest.fixture
def moved(tables: Tables, store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have VACUUM FULL put each row where the one before was, just before bangeod first writes."""
    put(tables, "1.1.1.1", "8.8.8.8", "9.9.9.9")
    tables.web_app.execute("DELETE FROM geo_cache WHERE ip = '1.1.1.1'")
    vacuum_before(monkeypatch, tables, "WITH ")


def vacuum_before(monkeypatch: pytest.MonkeyPatch, tables: Tables, beginning: str) -> None:
    """Have the rows moved just before the first statement that begins so."""
    execute = session._execute

    async def after_vacuum(connection: "Connection", statement: str, values: Values | None = None) -> Rows:
        if statement.startswith(beginning):
            monkeypatch.undo()
            tables.web_app.execute("VACUUM FULL geo_cache")
        return await execute(connection, statement, values)

    monkeypatch.setattr(session, "_execute", after_vacuum)


@pytest.mark.usefixtures("moved")
async def test_a_row_that_was_moved_is_not_deleted_in_the_place_of_another(
    tables: Tables, store: PostgresStore
) -> None:
    assert (await total(store.delete_stale(NOW, keep=lambda ip: ip == "9.9.9.9"))).keys == ["8.8.8.8"]
    assert tables.rows("SELECT ip FROM geo_cache") == [("9.9.9.9",)]


async def test_a_row_that_was_moved_is_not_deleted_in_the_place_of_another_that_was_looked_at(
    tables: Tables, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tables, "1.1.1.1", "8.8.8.8", "9.9.9.9")
    put(tables, "7.7.7.7", last_seen="never")  # so each row is looked at
    tables.web_app.execute("DELETE FROM geo_cache WHERE ip = '1.1.1.1'")
    vacuum_before(monkeypatch, tables, "WITH input")
    assert (await total(store.delete_stale(NOW, keep=lambda ip: ip == "9.9.9.9"))).keys == []
    assert (await total(store.delete_stale(NOW, keep=lambda ip: ip == "9.9.9.9"))).keys == ["8.8.8.8"]
    assert tables.rows("SELECT ip FROM geo_cache ORDER BY ip") == [("7.7.7.7",), ("9.9.9.9",)]


async def test_a_row_that_was_moved_into_blocks_that_were_read_is_asked_for_before_it_goes(
    tables: Tables, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tables, "8.8.8.8")
    fill = "INSERT INTO geo_cache (ip, org) SELECT i, repeat('x', 1000) FROM generate_series(1, 300) AS i"
    tables.web_app.execute(fill)
    put(tables, "9.9.9.9")
    tables.web_app.execute("DELETE FROM geo_cache WHERE ip NOT LIKE '%.%'")
    vacuum_before(monkeypatch, tables, "WITH gone")
    assert (await total(store.delete_stale(NOW, keep=lambda ip: ip == "9.9.9.9"))).keys == ["8.8.8.8"]
    assert tables.rows("SELECT ip FROM geo_cache") == [("9.9.9.9",)]


@pytest.mark.usefixtures("moved")
async def test_a_row_that_was_moved_is_not_written_in_the_place_of_another(
    tables: Tables, store: PostgresStore
) -> None:
    assert await write_all(store, [entry("8.8.8.8", "DE")]) == [entry("8.8.8.8", "DE")]
    assert tables.rows("SELECT ip, country_code FROM geo_cache ORDER BY ip") == [("8.8.8.8", "DE"), ("9.9.9.9", None)]


async def test_a_table_of_many_blocks_is_walked_once_and_only_what_is_due_and_not_kept_goes(
    tables: Tables, store: PostgresStore
) -> None:
    tables.web_app.execute(
        "INSERT INTO geo_cache (ip, org, last_seen) SELECT '8.' || i %% 10 || '.' || i / 10 %% 256 || '.' || i / 2560,"
        " repeat('x', i %% 300), CASE WHEN i %% 3 = 0 THEN %s WHEN i %% 1000 = 1 THEN 'never' ELSE %s END"
        " FROM generate_series(0, 9999) AS i",
        (OLD, NOW_TEXT),
    )
    found = await total(store.delete_stale(NOW, keep=lambda ip: ip.startswith("8.3.")))
    assert (len(found.keys), len({*found.keys}), found.unreadable) == (3_000, 3_000, 7)
    assert tables.rows("SELECT count(*) FROM geo_cache WHERE last_seen = '2000-01-01T00:00:00Z'") == [(334,)]


@pytest.mark.parametrize("policy", ["", "ALTER TABLE geo_cache ENABLE ROW LEVEL SECURITY"])
async def test_a_page_of_a_walk_reads_its_own_blocks_alone(tables: Tables, policy: str) -> None:
    with tables.role("ALL ON geo_cache") as role:
        tables.web_app.execute(policy or "SELECT")
        tables.web_app.execute(f"CREATE POLICY p ON geo_cache TO {role} USING (ip <> '9.9.9.9')")
        store = tables.store(user=role)
        try:
            table = await store._table("geo_cache")
            values = {"first": "(0,0)", "end": "(8,0)", "day": "2026-01-01"}
            wanted = queries.DUE_TEXT.format(c=table.age.sql)
            plan = await store._reader.run("EXPLAIN " + table.of_blocks(["t.ip"], wanted), values)
        finally:
            await store.close()
    assert any("Tid Range Scan" in line for (line,) in plan)


async def test_rows_that_a_policy_refuses_are_told_of_and_the_others_written(tables: Tables) -> None:
    put(tables, "8.8.8.8", "9.9.9.9")
    with tables.role("ALL ON geo_cache") as role:
        tables.web_app.execute("ALTER TABLE geo_cache ENABLE ROW LEVEL SECURITY")
        tables.web_app.execute(f"CREATE POLICY p ON geo_cache TO {role} USING (true) WITH CHECK (ip <> '9.9.9.9')")
        store = tables.store(user=role)
        try:
            with pytest.raises(StoreRefusedError, match="row-level security") as refusal:
                await write_all(store, [entry("8.8.8.8", "DE"), entry("9.9.9.9", "DE")])
        finally:
            await store.close()
    assert refusal.value.ips == {"9.9.9.9"}
    assert tables.rows("SELECT ip, last_seen FROM geo_cache WHERE country_code = 'DE'") == [("8.8.8.8", NOW_TEXT)]


async def test_a_row_that_comes_into_blocks_that_were_read_is_left_to_the_next_run(
    tables: Tables, store: PostgresStore
) -> None:
    put(tables, "8.8.8.8")

    def keep(ip: str) -> bool:
        if ip == "8.8.8.8":  # the blocks have been read, and nothing is deleted yet
            put(tables, "9.9.9.9")
        return False

    assert (await total(store.delete_stale(NOW, keep=keep))).keys == ["8.8.8.8"]
    assert (await total(store.delete_stale(NOW, keep=keep))).keys == ["9.9.9.9"]


@pytest.mark.parametrize("last_seen", ["2000-01-01T00:00:00+02:00", "946684800", "2000-02-29 00:00:00"])
async def test_a_time_of_a_rare_form_leaves_its_neighbours_due(
    tables: Tables, store: PostgresStore, last_seen: str
) -> None:
    put(tables, "8.8.8.8")
    put(tables, "9.9.9.9", last_seen=last_seen)
    put(tables, "1.1.1.1", last_seen="never")
    assert await total(store.delete_stale(NOW, keep=nothing)) == (["8.8.8.8", "9.9.9.9"], 1, "'never'")


async def test_of_the_very_second_nothing_is_stale_and_a_session_has_expired(
    tables: Tables, store: PostgresStore
) -> None:
    for number, fraction in enumerate(["", ".000000", ".000001"]):
        time = f"{NOW_TEXT[:19]}{fraction}"
        put(tables, f"8.8.8.{number}", last_seen=time)
        tables.web_app.execute("INSERT INTO sessions VALUES (%s, %s, %s, %s)", (number, str(number), OLD, time))
    assert await total(store.delete_stale(NOW, keep=nothing)) == ([], 0, None)
    assert await total(store.delete_expired(NOW)) == (["", ""], 0, None)
    assert tables.rows("SELECT id FROM sessions") == [(2,)]


async def test_rows_in_no_doubt_are_deleted_many_by_a_statement_but_for_those_to_keep(
    tables: Tables, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables.web_app.execute(
        "INSERT INTO geo_cache (ip, last_seen) SELECT '8.8.' || n / 250 || '.' || n % 250, '2000-01-01T00:00:00Z'"
        " FROM generate_series(0, 19999) AS n"
    )
    execute, begun = session._execute, list[str]()

    async def noted(connection: "Connection", statement: str, values: Values | None = None) -> Rows:
        begun.append(statement[:10])
        return await execute(connection, statement, values)

    monkeypatch.setattr(session, "_execute", noted)
    found = await total(store.delete_stale(NOW, keep=lambda ip: ip.endswith(".7")))
    assert len(found.keys) == len({*found.keys}) == 20_000 - 80
    assert tables.rows("SELECT count(*) FROM geo_cache WHERE ip LIKE '%.7'") == [(80,)]
    assert begun.count("WITH gone ") > 5
    assert "WITH input" not in begun
