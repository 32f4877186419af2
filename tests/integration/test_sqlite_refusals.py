"""Deletions have the effect that the web app's own would have: child tables, triggers, rows that may not go."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, closing
from pathlib import Path

import pytest

from bangeod.clock import SystemClock
from bangeod.errors import SchemaError, StoreError
from bangeod.geo.cache.dirty import DirtySet, flush
from bangeod.model import DirtyEntry, Geo
from bangeod.store import sweep
from bangeod.store.port import Refusal
from bangeod.store.sqlite import schema
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.store import SqliteStore
from tests.contract.values import NOW, refused

OLD = "2000-01-01T00:00:00Z"
ROWS = 900
HELD = 3  # of so many rows one is held back
REFERENCES = "INTEGER REFERENCES sessions (id)"
GRANTS = f"INSERT INTO grants SELECT id FROM sessions WHERE id % {HELD} = 0"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "bangui.db"
    schema.create(path)
    return path


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, busy_timeout=1, max_lock_time=0.01, clock=SystemClock())
    yield store
    await store.close()


def change(path: Path, *statements: str) -> None:
    """Do something as the web app does, with foreign keys enforced, and Debian's SQLite."""
    with closing(engine.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA foreign_keys = ON")
        for statement in statements:
            connection.execute(statement)


def ask(path: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(engine.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement).fetchall()


def expired(path: Path, rows: int = ROWS) -> None:
    """Let so many sessions have expired, with the ids from 1 on."""
    change(
        path,
        "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n)"
        f" INSERT INTO sessions (id, token, expires_at) SELECT i, 'secret-' || i, '{OLD}' FROM n LIMIT {rows}",
    )


def trigger(when: str, does: str, *, held: int = HELD) -> str:
    return f"CREATE TRIGGER t {when} DELETE ON sessions WHEN OLD.id % {held} = 0 BEGIN {does}; END"


HELD_BACK: list[tuple[str, Sequence[str], str]] = [
    ("restrict", [f"CREATE TABLE grants (s {REFERENCES} ON DELETE RESTRICT)", GRANTS], "FOREIGN KEY"),
    ("no action", [f"CREATE TABLE grants (s {REFERENCES})", GRANTS], "FOREIGN KEY"),
    ("deferred", [f"CREATE TABLE grants (s {REFERENCES} DEFERRABLE INITIALLY DEFERRED)", GRANTS], "FOREIGN KEY"),
    ("not null", [f"CREATE TABLE grants (s {REFERENCES} ON DELETE SET NULL NOT NULL)", GRANTS], "NOT NULL"),
    ("no default", [f"CREATE TABLE grants (s {REFERENCES} ON DELETE SET DEFAULT DEFAULT 0)", GRANTS], "FOREIGN KEY"),
    (
        "nested",
        [
            f"CREATE TABLE grants (s {REFERENCES} ON DELETE CASCADE UNIQUE)",
            "CREATE TABLE uses (g REFERENCES grants (s) ON DELETE RESTRICT)",
            "INSERT INTO grants SELECT id FROM sessions",
            f"INSERT INTO uses SELECT s FROM grants WHERE s % {HELD} = 0",
        ],
        "FOREIGN KEY",
    ),
    ("abort", [trigger("BEFORE", "SELECT RAISE(ABORT, 'stays')")], "stays"),
    ("fail before", [trigger("BEFORE", "SELECT RAISE(FAIL, 'stays')")], "stays"),
    ("fail after", [trigger("AFTER", "SELECT RAISE(FAIL, 'stays')")], "stays"),
    ("rollback", [trigger("BEFORE", "SELECT RAISE(ROLLBACK, 'stays')")], "stays"),
    ("ignore", [trigger("BEFORE", "SELECT RAISE(IGNORE)")], "a trigger of the database's keeps it"),
    ("an error", [trigger("AFTER", "SELECT json('no JSON')")], "malformed JSON"),
    (
        "its own constraint",
        ["CREATE TABLE gone (id CHECK (id > 1000))", trigger("AFTER", "INSERT INTO gone VALUES (OLD.id)")],
        "CHECK",
    ),
]


@pytest.mark.parametrize(("changes", "problem"), [case[1:] for case in HELD_BACK], ids=[case[0] for case in HELD_BACK])
async def test_rows_that_are_held_back_stay_and_stop_nothing(
    store: SqliteStore, path: Path, changes: Sequence[str], problem: str
) -> None:
    expired(path)
    change(path, *changes)
    await store.prepare()
    for expected in (ROWS - ROWS // HELD, 0):
        keys, count, refusal = await refused(store.delete_expired(NOW))
        assert (len(keys), count) == (expected, ROWS // HELD)
        assert refusal is not None
        assert refusal.key == f"rowid = {HELD}"
        assert problem in refusal.problem
    assert ask(path, f"SELECT count(*), count(*) FILTER (WHERE id % {HELD} = 0) FROM sessions") == [(300, 300)]
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]
    assert ask(path, "PRAGMA foreign_key_check") == []


@pytest.mark.parametrize(
    "hold",
    [
        trigger("BEFORE", "SELECT RAISE(ROLLBACK, 'stays')", held=400),
        f"CREATE TABLE grants (s {REFERENCES} DEFERRABLE INITIALLY DEFERRED)",
    ],
    ids=["rollback", "deferred"],
)
async def test_one_row_that_takes_its_transaction_with_it_takes_no_other_row(
    store: SqliteStore, path: Path, hold: str
) -> None:
    expired(path)
    change(path, hold)
    if "grants" in hold:
        change(path, "INSERT INTO grants VALUES (400), (800)")
    await store.prepare()
    keys, count, _ = await refused(store.delete_expired(NOW))
    assert (len(keys), count) == (ROWS - 2, 2)
    assert ask(path, "SELECT id FROM sessions") == [(400,), (800,)]


@pytest.mark.parametrize("action", ["ABORT", "FAIL", "ROLLBACK"])
async def test_what_a_refused_deletion_did_elsewhere_is_undone(store: SqliteStore, path: Path, action: str) -> None:
    expired(path)
    effects = f"INSERT INTO audit VALUES (OLD.id); SELECT RAISE({action}, 'stays') WHERE OLD.id % {HELD} = 0"
    change(path, "CREATE TABLE audit (id)", trigger("BEFORE", effects, held=1))
    await store.prepare()
    keys, count, _ = await refused(store.delete_expired(NOW))
    assert (len(keys), count) == (600, 300)
    assert ask(path, f"SELECT count(*), count(*) FILTER (WHERE id % {HELD} = 0) FROM audit") == [(600, 0)]


@pytest.mark.parametrize(
    ("action", "left"),
    [("ON DELETE CASCADE", []), ("ON DELETE SET NULL", [(None, "a")]), ("ON DELETE SET DEFAULT", [(7, "a")])],
)
async def test_child_tables_follow(store: SqliteStore, path: Path, action: str, left: list[tuple[object, ...]]) -> None:
    change(
        path,
        f"INSERT INTO sessions (id, expires_at) VALUES (1, '{OLD}'), (7, '2099-01-01T00:00:00Z')",
        f"CREATE TABLE grants (s INTEGER DEFAULT 7 REFERENCES sessions (id) {action}, role)",
        "INSERT INTO grants VALUES (1, 'a')",
    )
    await store.prepare()
    assert await refused(store.delete_expired(NOW)) == ([""], 0, None)
    assert ask(path, "SELECT * FROM grants") == left


async def test_sessions_that_refer_to_each_other_go_together(store: SqliteStore, path: Path) -> None:
    expired(path, 500)
    change(
        path,
        "ALTER TABLE sessions ADD COLUMN parent INTEGER REFERENCES sessions (id) ON DELETE CASCADE",
        "UPDATE sessions SET parent = id - 1 WHERE id > 1",
    )
    await store.prepare()
    found = await refused(store.delete_expired(NOW))
    assert found.refused == 0
    assert ask(path, "SELECT count(*) FROM sessions") == [(0,)]


async def test_triggers_do_what_they_do_for_the_web_app(store: SqliteStore, path: Path) -> None:
    expired(path, 400)
    change(path, "CREATE TABLE audit (token)", trigger("AFTER", "INSERT INTO audit VALUES (OLD.token)", held=1))
    await store.prepare()
    assert len((await refused(store.delete_expired(NOW))).keys) == 400
    assert ask(path, "SELECT count(DISTINCT token) FROM audit") == [(400,)]


async def test_a_key_that_may_be_a_secret_is_not_shown_whole(store: SqliteStore, path: Path) -> None:
    change(
        path,
        "DROP TABLE sessions",
        "CREATE TABLE sessions (token TEXT PRIMARY KEY, expires_at TEXT) WITHOUT ROWID",
        f"INSERT INTO sessions VALUES ('0123456789abcdef', '{OLD}')",
        "CREATE TRIGGER t BEFORE DELETE ON sessions BEGIN SELECT RAISE(ABORT, 'stays'); END",
    )
    await store.prepare()
    assert (await refused(store.delete_expired(NOW))).refusal == Refusal("\"token\" = '0123…'", "stays")


@pytest.mark.parametrize("table", ["sessions", "geo_cache"])
async def test_a_deleted_row_can_not_be_read_in_the_file(store: SqliteStore, path: Path, table: str) -> None:
    """As with the SQLite of Debian; its free pages would go on holding tokens, and freed ones whole pages of them."""
    if table == "sessions":
        expired(path, 2_000)
    else:
        change(path, f"INSERT INTO geo_cache (ip, last_seen) VALUES ('secret-8.8.8.8', '{OLD}')")
    change(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    assert b"secret-" in await asyncio.to_thread(path.read_bytes)
    await store.prepare()
    if table == "sessions":
        await refused(store.delete_expired(NOW))
    else:
        await refused(store.delete_stale(NOW, keep=lambda _key: False))
    await store.close()
    assert b"secret-" not in await asyncio.to_thread(path.read_bytes)


async def test_a_foreign_key_that_refers_to_no_unique_key_is_one_clear_error(store: SqliteStore, path: Path) -> None:
    expired(path, 10)
    change(path, "CREATE TABLE grants (t TEXT REFERENCES sessions (created_at))")
    await store.prepare()
    with pytest.raises(SchemaError, match='foreign key mismatch - "grants" referencing "sessions"') as problem:
        await refused(store.delete_expired(NOW))
    assert "UNIQUE" in problem.value.advice
    assert ask(path, "SELECT count(*) FROM sessions") == [(10,)]


async def test_a_trigger_that_no_deletion_can_get_past_is_an_error_and_not_a_refused_row(
    store: SqliteStore, path: Path
) -> None:
    expired(path, 10)
    change(path, trigger("AFTER", "INSERT INTO audit VALUES (OLD.id)", held=1))
    await store.prepare()
    with pytest.raises(StoreError, match=r"no such table: main\.audit"):
        await refused(store.delete_expired(NOW))


async def test_a_row_of_geo_cache_that_a_foreign_key_refuses_is_set_aside_and_the_others_are_written(
    store: SqliteStore, path: Path
) -> None:
    change(
        path,
        "CREATE TABLE countries (code TEXT PRIMARY KEY)",
        "INSERT INTO countries VALUES ('US')",
        "DROP TABLE geo_cache",
        schema.GEO_CACHE.replace("country_code TEXT", "country_code TEXT REFERENCES countries (code)"),
    )
    await store.prepare()
    dirty = DirtySet()
    for number in range(300):
        dirty.put(DirtyEntry(f"8.8.{number // 250}.{number % 250}", Geo("XK" if number == 123 else "US"), NOW, NOW))
    assert await flush(dirty, store, 0.0, lambda: 60.0) == 299
    assert (len(dirty), dirty.set_aside(1.0), "8.8.0.123" in dirty) == (1, 1, True)
    assert ask(path, "SELECT country_code, count(*) FROM geo_cache GROUP BY 1") == [("US", 299)]


async def test_a_lock_is_waited_for_between_rows_that_go_apart(store: SqliteStore, path: Path) -> None:
    expired(path, 40)
    change(path, trigger("BEFORE", "SELECT RAISE(ROLLBACK, 'stays')", held=2))
    await store.prepare()
    seen = 0
    with closing(engine.connect(path, timeout=5, isolation_level=None)) as web_app:
        async for deleted in store.delete_expired(NOW):
            seen += len(deleted.keys) + deleted.refused
            web_app.execute("UPDATE sessions SET created_at = 'now'")  # it gets in whenever it asks
    assert seen == 40
    assert ask(path, "SELECT count(*) FROM sessions") == [(20,)]


# --- the next runs ---


async def test_what_was_held_back_before_is_tried_after_all_others(store: SqliteStore, path: Path) -> None:
    expired(path, 300)
    change(path, trigger("BEFORE", "SELECT RAISE(ABORT, 'stays')", held=1))
    await store.prepare()
    assert (await refused(store.delete_expired(NOW))).refused == 300
    change(
        path,
        "DROP TRIGGER t",
        "CREATE TRIGGER t BEFORE DELETE ON sessions WHEN OLD.id < 200 BEGIN SELECT RAISE(ABORT, 'stays'); END",
        f"INSERT INTO sessions (id, expires_at) VALUES (301, '{OLD}')",
    )
    async with aclosing(store.delete_expired(NOW)) as slices:
        first = await anext(slices)
    assert (len(first.keys), first.refused) == (1, 0)
    assert ask(path, "SELECT max(id) FROM sessions") == [(300,)]
    keys, count, _ = await refused(store.delete_expired(NOW))
    assert (len(keys), count) == (101, 199)


async def test_what_was_held_back_before_takes_no_more_than_its_time_and_is_counted_all_the_same(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expired(path, 300)
    change(path, trigger("BEFORE", "SELECT RAISE(ABORT, 'stays')", held=2))
    await store.prepare()
    assert (await refused(store.delete_expired(NOW))).refused == 150
    change(path, "DROP TRIGGER t", f"INSERT INTO sessions (id, expires_at) VALUES (301, '{OLD}')")
    monkeypatch.setattr(sweep, "RETRY_SECONDS", 0.0)
    assert await refused(store.delete_expired(NOW)) == ([""], 150, ("rowid = 300", "stays"))
    monkeypatch.undo()
    assert len((await refused(store.delete_expired(NOW))).keys) == 150


async def test_another_database_has_nothing_held_back(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expired(path, 10)
    change(path, trigger("BEFORE", "SELECT RAISE(ABORT, 'stays')", held=1))
    await store.prepare()
    assert (await refused(store.delete_expired(NOW))).refused == 10
    backup = path.with_name("backup.db")
    schema.create(backup)
    expired(backup, 10)
    backup.replace(path)
    await store.prepare()
    monkeypatch.setattr(sweep, "RETRY_SECONDS", 0.0)
    assert len((await refused(store.delete_expired(NOW))).keys) == 10


def test_of_what_is_held_back_that_comes_first_which_was_tried_longest_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "MOST_HELD_BACK", 3)
    rows, why = sweep.HeldBack(), Refusal("1", "stays")
    for key in (1, 2, 3, 1, 4):
        rows.add(key, why)
    rows.discard(3)
    assert [key in rows for key in (1, 2, 3, 4)] == [True, False, False, True]
    assert sorted((1, 2, 4), key=rows.turn) == [2, 1, 4]
