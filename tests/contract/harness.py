"""The stores that the contract is held against, each with the web app's view of its tables."""

import re
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeGuard

import pytest

from bangeod.clock import SystemClock
from bangeod.errors import StoreLockedError
from bangeod.store.memory import GEO_COLUMNS, MemoryStore, RawRow
from bangeod.store.port import Store
from bangeod.store.sqlite import schema
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.store import SqliteStore
from tests.support.servers import postgres_tables
from tests.support.servers.postgres_tables import Tables

if TYPE_CHECKING:
    from sqlite3 import Connection

BUSY_TIMEOUT = 0.01  # seconds
UTF_8 = "utf-8"


def _with_times(statement: str, declared: str) -> str:
    """Give the times of a table another type."""
    return re.sub(r"(cached_at|last_seen|created_at|expires_at) TEXT", rf"\1 {declared}", statement)


# The tables as the web app has them: what is stored in a column of type TEXT becomes text, numbers too. Without
# a type every value stays what it is. Without rowid the rows are paged by their key. SQLAlchemy, peewee and Django
# say DATETIME, which makes a number of all that looks like one. UTF-16 is chosen when a database is made.
TABLES = {
    "sqlite": (schema.GEO_CACHE, schema.SESSIONS),
    "sqlite-untyped": (schema.GEO_CACHE.replace(" TEXT", " "), schema.SESSIONS.replace(" TEXT", " ")),
    "sqlite-without-rowid": (schema.GEO_CACHE + " WITHOUT ROWID", schema.SESSIONS + " WITHOUT ROWID"),
    "sqlite-datetime": (_with_times(schema.GEO_CACHE, "DATETIME"), _with_times(schema.SESSIONS, "DATETIME")),
    "sqlite-utf-16le": (schema.GEO_CACHE, schema.SESSIONS),
    "sqlite-utf-16be": (schema.GEO_CACHE, schema.SESSIONS),
}
KEYS = {"geo_cache": "ip", "sessions": "id"}
HELD_BACK = "held back"
HOLD_BACK = (
    "CREATE TABLE IF NOT EXISTS held_back_in_{table} (key PRIMARY KEY)",
    (
        "CREATE TRIGGER IF NOT EXISTS hold_back_in_{table} BEFORE DELETE ON {table} WHEN OLD.{column} IN "
        f"(SELECT key FROM held_back_in_{{table}}) BEGIN SELECT RAISE(ABORT, '{HELD_BACK}'); END"
    ),
)
# On a server a column has one type: here text, in one form or another. Columns of other types hold no more than times
# and addresses; what is promised of these is tested in tests/integration/test_postgres_columns.py.
_GEO: Final = "country_code TEXT, country_name TEXT, asn TEXT, org TEXT, cached_at TEXT, last_seen TEXT"
_SESSIONS: Final = "token TEXT UNIQUE, created_at TEXT, expires_at TEXT"
SERVER_TABLES = {
    "postgres": (
        f"CREATE TABLE geo_cache (ip TEXT PRIMARY KEY, {_GEO})",
        f"CREATE TABLE sessions (id BIGINT PRIMARY KEY, {_SESSIONS})",
    ),
    "postgres-varchar": (
        f"CREATE TABLE geo_cache (ip VARCHAR(100) NOT NULL UNIQUE, {_GEO.replace('TEXT', 'VARCHAR(400)')})",
        f"CREATE TABLE sessions (id INTEGER NOT NULL UNIQUE, {_SESSIONS.replace('TEXT', 'VARCHAR(400)')})",
    ),
    "postgres-collated": (
        f'CREATE TABLE geo_cache (id SERIAL PRIMARY KEY, ip TEXT COLLATE "und-x-icu" NOT NULL UNIQUE, {_GEO})',
        f"CREATE TABLE sessions (id BIGINT PRIMARY KEY, {_SESSIONS})",
    ),
    "postgres-partitioned": (
        f"CREATE TABLE geo_cache (ip TEXT PRIMARY KEY, {_GEO}) PARTITION BY HASH (ip)",
        "CREATE TABLE geo_0 PARTITION OF geo_cache FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
        "CREATE TABLE geo_1 PARTITION OF geo_cache FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
        f"CREATE TABLE sessions (id BIGINT PRIMARY KEY, {_SESSIONS.replace(' UNIQUE', '')}) PARTITION BY RANGE (id)",
        "CREATE TABLE sessions_0 PARTITION OF sessions FOR VALUES FROM (MINVALUE) TO (500)",
        "CREATE TABLE sessions_1 PARTITION OF sessions FOR VALUES FROM (500) TO (MAXVALUE)",
    ),
}
HOLD_BACK_ON_SERVER = (
    "CREATE TABLE IF NOT EXISTS held_back_in_{table} (key TEXT PRIMARY KEY)",
    (
        "CREATE OR REPLACE FUNCTION hold_back_in_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF CAST(OLD.{column} AS text) IN (SELECT key FROM held_back_in_{table}) THEN"
        f" RAISE EXCEPTION '{HELD_BACK}';"
        " END IF; RETURN OLD; END $$"
    ),
    (
        "CREATE OR REPLACE TRIGGER hold_back BEFORE DELETE ON {table}"
        " FOR EACH ROW EXECUTE FUNCTION hold_back_in_{table}()"
    ),
)
KINDS = ("memory", *TABLES, *SERVER_TABLES)
# As parameters of tests: the quick loop does with one kind of tables.
QUICK = ("memory", "sqlite", "postgres")
EACH_KIND = tuple(pytest.param(kind, marks=[] if kind in QUICK else pytest.mark.slow) for kind in KINDS)


class Harness(Protocol):
    """A store, and the raw tables under it, as the web app reads and writes them.

    Values are what SQLite can store; text may hold bytes that are no UTF-8, as surrogates.
    """

    @property
    def store(self) -> Store:
        """Return the store under test, prepared."""

    @property
    def needs_no_lock_for_what_stays(self) -> bool:
        """Say whether entries that change nothing are written while others hold the lock."""

    def storable(self, value: object) -> object:
        """Return the value, or one in its place where no column of this database can have it."""

    def put_geo(self, key: object, **columns: object) -> None:
        """Insert a row or replace it whole. Skips the test where the database can't store a value."""

    def set_geo(self, key: object, **columns: object) -> None:
        """Change some columns of a row, if it is there."""

    def drop_geo(self, key: object) -> None:
        """Delete a row, if it is there."""

    def put_session(self, expires_at: object) -> int:
        """Insert a session; return its id."""

    def hold_back(self, table: str, key: object) -> None:
        """Let the database refuse to delete a row, by its key in a table, and say that it is held back."""

    def let_go(self, table: str, key: object) -> None:
        """Let a row be deleted that was held back."""

    def geo(self) -> dict[object, RawRow]:
        """Return all rows of geo_cache as they stand, by key."""

    def sessions(self) -> dict[int, object]:
        """Return what ``expires_at`` holds, by id."""

    def locked(self) -> AbstractContextManager[None]:
        """Hold the write lock for longer than the store waits for it."""

    def lose(self) -> None:
        """Delete the database."""


class MemoryHarness:
    """MemoryStore, whose tables are open anyway."""

    needs_no_lock_for_what_stays = False

    def __init__(self) -> None:
        self.store = MemoryStore()

    def storable(self, value: object) -> object:
        return value

    def put_geo(self, key: object, **columns: object) -> None:
        self.store.put_geo(key, **columns)

    def set_geo(self, key: object, **columns: object) -> None:
        self.store.geo_cache.get(key, {}).update(columns)

    def drop_geo(self, key: object) -> None:
        self.store.geo_cache.pop(key, None)

    def put_session(self, expires_at: object) -> int:
        return self.store.put_session(expires_at)

    def hold_back(self, table: str, key: object) -> None:
        assert key in (self.store.geo_cache if table == "geo_cache" else self.store.sessions)
        self.store.held_back[key] = HELD_BACK

    def let_go(self, table: str, key: object) -> None:
        del self.store.held_back[key]

    def geo(self) -> dict[object, RawRow]:
        return {key: dict(row) for key, row in self.store.geo_cache.items()}

    def sessions(self) -> dict[int, object]:
        return {number: row["expires_at"] for number, row in self.store.sessions.items()}

    @contextmanager
    def locked(self) -> Iterator[None]:
        self.store.fail_next(StoreLockedError("memory", "locked", "wait"))
        yield

    def lose(self) -> None:
        self.store.lost = True


class SqliteHarness:
    """SqliteStore, with a second connection of the same SQLite to its file."""

    needs_no_lock_for_what_stays = False

    def __init__(self, path: Path, web_app: "Connection", encoding: str) -> None:
        self.store = SqliteStore(path, busy_timeout=BUSY_TIMEOUT, max_lock_time=0.001, clock=SystemClock())
        self._path = path
        self._web_app = web_app
        self._encoding = encoding

    def storable(self, value: object) -> object:
        return value

    def put_geo(self, key: object, **columns: object) -> None:
        names = ", ".join(("ip", *columns))
        holders, values = self._bound((key, *columns.values()))
        self._web_app.execute(f"INSERT OR REPLACE INTO geo_cache ({names}) VALUES ({', '.join(holders)})", values)

    def set_geo(self, key: object, **columns: object) -> None:
        holders, values = self._bound(columns.values())
        sets = ", ".join(f"{name} = {holder}" for name, holder in zip(columns, holders, strict=True))
        self._web_app.execute(f"UPDATE geo_cache SET {sets} WHERE ip IS ?", (*values, key))

    def drop_geo(self, key: object) -> None:
        self._web_app.execute("DELETE FROM geo_cache WHERE ip IS ?", (key,))

    def put_session(self, expires_at: object) -> int:
        (holder,), values = self._bound((expires_at,))
        statement = f"INSERT INTO sessions (id, expires_at) SELECT coalesce(max(id), 0) + 1, {holder} FROM sessions"
        ((number,),) = self._web_app.execute(f"{statement} RETURNING id", values).fetchall()
        return int(number)

    def hold_back(self, table: str, key: object) -> None:
        for statement in HOLD_BACK:
            self._web_app.execute(statement.format(table=table, column=KEYS[table]))
        self._web_app.execute(f"INSERT INTO held_back_in_{table} VALUES (?)", (key,))

    def let_go(self, table: str, key: object) -> None:
        self._web_app.execute(f"DELETE FROM held_back_in_{table} WHERE key IS ?", (key,))

    def geo(self) -> dict[object, RawRow]:
        columns = ("ip", *GEO_COLUMNS)
        found = self._web_app.execute(f"SELECT {', '.join(columns)} FROM geo_cache").fetchall()
        return {key: dict(zip(GEO_COLUMNS, values, strict=True)) for key, *values in found}

    def sessions(self) -> dict[int, object]:
        return dict(self._web_app.execute("SELECT id, expires_at FROM sessions").fetchall())

    @contextmanager
    def locked(self) -> Iterator[None]:
        self._web_app.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            self._web_app.execute("ROLLBACK")

    def lose(self) -> None:
        self._path.unlink()

    def _bound(self, values: Iterable[object]) -> tuple[list[str], list[object]]:
        """Return SQL place holders and parameters; broken text goes as bytes, since Python binds none.

        What SQLite 3.40 makes of bytes in a database of UTF-16 is not what they mean there; it is broken all the same.
        """
        errors = "surrogateescape" if self._encoding == UTF_8 else "surrogatepass"
        items = list(values)
        bound = [item.encode(self._encoding, errors) if _is_broken(item) else item for item in items]
        return ["CAST(? AS TEXT)" if _is_broken(item) else "?" for item in items], bound


class PostgresHarness:
    """PostgresStore, with a second connection to its database."""

    needs_no_lock_for_what_stays = True  # it decides on what was read, and updates those rows alone that change

    def __init__(self, tables: Tables) -> None:
        self.store = tables.store(busy_timeout=BUSY_TIMEOUT, max_lock_time=0.001)
        self._tables = tables
        self._web_app = tables.web_app

    def storable(self, value: object) -> object:
        """Return the text that a column of text has in its place: such a column stores neither bytes nor NUL."""
        if value is None or isinstance(value, str):
            text = value
        else:
            text = repr(value) if isinstance(value, bytes) else str(value)
        return text if text is None else text.encode(errors="replace").decode().replace("\0", "?")

    def _stored(self, values: Iterable[object]) -> list[object]:
        found = list(values)
        for value in found:
            if isinstance(value, bytes) or (isinstance(value, str) and self.storable(value) != value):
                pytest.skip(f"on this server a column of text can't have {value!r}")
        return [self.storable(value) for value in found]

    def put_geo(self, key: object, **columns: object) -> None:
        every = dict.fromkeys(GEO_COLUMNS) | columns
        sets = ", ".join(f"{name} = EXCLUDED.{name}" for name in every)
        self._web_app.execute(
            f"INSERT INTO geo_cache (ip, {', '.join(every)}) VALUES ({', '.join(['%s'] * (len(every) + 1))})"
            f" ON CONFLICT (ip) DO UPDATE SET {sets}",
            self._stored((key, *every.values())),
        )

    def set_geo(self, key: object, **columns: object) -> None:
        sets = ", ".join(f"{name} = %s" for name in columns)
        self._web_app.execute(f"UPDATE geo_cache SET {sets} WHERE ip = %s", self._stored((*columns.values(), key)))

    def drop_geo(self, key: object) -> None:
        self._web_app.execute("DELETE FROM geo_cache WHERE ip = %s", (key,))

    def put_session(self, expires_at: object) -> int:
        found = self._web_app.execute(
            "INSERT INTO sessions (id, expires_at) SELECT coalesce(max(id), 0) + 1, %s FROM sessions RETURNING id",
            self._stored((expires_at,)),
        )
        return int(found.fetchone()[0])

    def hold_back(self, table: str, key: object) -> None:
        for statement in HOLD_BACK_ON_SERVER:
            self._web_app.execute(statement.format(table=table, column=KEYS[table]))
        self._web_app.execute(f"INSERT INTO held_back_in_{table} VALUES (%s)", (str(key),))

    def let_go(self, table: str, key: object) -> None:
        self._web_app.execute(f"DELETE FROM held_back_in_{table} WHERE key = %s", (str(key),))

    def geo(self) -> dict[object, RawRow]:
        found = self._web_app.execute(f"SELECT ip, {', '.join(GEO_COLUMNS)} FROM geo_cache").fetchall()
        return {key: dict(zip(GEO_COLUMNS, values, strict=True)) for key, *values in found}

    def sessions(self) -> dict[int, object]:
        return dict(self._web_app.execute("SELECT id, expires_at FROM sessions").fetchall())

    @contextmanager
    def locked(self) -> Iterator[None]:
        with self._web_app.transaction():
            self._web_app.execute("LOCK TABLE geo_cache, sessions IN SHARE ROW EXCLUSIVE MODE")
            yield

    def lose(self) -> None:
        self._tables.lose()


@asynccontextmanager
async def opened(kind: str) -> AsyncIterator[Harness]:
    """Hand out a prepared store of this kind over empty tables, and close it."""
    if kind == "memory":
        async with _prepared(MemoryHarness()) as harness:
            yield harness
        return
    if kind in SERVER_TABLES:
        async with _on_server(kind) as harness:
            yield harness
        return
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "bangui.db")
        encoding = kind.removeprefix("sqlite-") if "utf-16" in kind else UTF_8
        with closing(engine.connect(path, isolation_level=None, timeout=5)) as web_app:
            web_app.text_factory = _text
            web_app.execute(f"PRAGMA encoding = '{encoding}'")
            web_app.execute("PRAGMA journal_mode = WAL")
            web_app.execute("PRAGMA synchronous = OFF")
            for statement in TABLES[kind]:
                web_app.execute(statement)
            async with _prepared(SqliteHarness(path, web_app, encoding)) as harness:
                yield harness


@asynccontextmanager
async def _on_server(kind: str) -> AsyncIterator[Harness]:
    """Hand out a store over tables in a schema of its own: that is made in less time than a database."""
    with postgres_tables.made(*SERVER_TABLES[kind]) as tables:
        async with _prepared(PostgresHarness(tables)) as harness:
            yield harness


@asynccontextmanager
async def _prepared(harness: Harness) -> AsyncIterator[Harness]:
    await harness.store.prepare()
    try:
        yield harness
    finally:
        await harness.store.close()


def _is_broken(item: object) -> TypeGuard[str]:
    return isinstance(item, str) and any("\ud800" <= character <= "\udfff" for character in item)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
