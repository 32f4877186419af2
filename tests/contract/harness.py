"""The stores that the contract is held against, each with the web app's view of its tables."""

import re
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeGuard

import pytest

from bangeod.clock import SystemClock
from bangeod.errors import StoreLockedError
from bangeod.store.memory import GEO_COLUMNS, MemoryStore, RawRow
from bangeod.store.port import Store
from bangeod.store.sqlite import schema
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.store import SqliteStore

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
KINDS = ("memory", *TABLES)
# As parameters of tests: the quick loop does with one kind of tables.
EACH_KIND = tuple(pytest.param(kind, marks=[] if kind in ("memory", "sqlite") else pytest.mark.slow) for kind in KINDS)


class Harness(Protocol):
    """A store, and the raw tables under it, as the web app reads and writes them.

    Values are what SQLite can store; text may hold bytes that are no UTF-8, as surrogates.
    """

    @property
    def store(self) -> Store:
        """Return the store under test, prepared."""

    def put_geo(self, key: object, **columns: object) -> None:
        """Insert a row or replace it whole."""

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

    def __init__(self) -> None:
        self.store = MemoryStore()

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

    def __init__(self, path: Path, web_app: "Connection", encoding: str) -> None:
        self.store = SqliteStore(path, busy_timeout=BUSY_TIMEOUT, max_lock_time=0.001, clock=SystemClock())
        self._path = path
        self._web_app = web_app
        self._encoding = encoding

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


@asynccontextmanager
async def opened(kind: str) -> AsyncIterator[Harness]:
    """Hand out a prepared store of this kind over empty tables, and close it."""
    if kind == "memory":
        async with _prepared(MemoryHarness()) as harness:
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
