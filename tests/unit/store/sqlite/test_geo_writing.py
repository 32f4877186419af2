"""A row that the web app changes between the look at it and the write keeps what the web app gave it."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from bangeod.clock import SystemClock, to_text
from bangeod.errors import StoreRefusedError
from bangeod.model import DirtyEntry, Geo
from bangeod.store.sqlite.columns import Table
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.geo_writing import OPTIMISTIC, write_slice
from bangeod.store.sqlite.odd_keys import OddKeys
from bangeod.store.sqlite.schema import GEO_CACHE, SESSIONS
from bangeod.store.sqlite.slicing import SliceWriter
from bangeod.store.sqlite.store import SqliteStore
from bangeod.store.time_forms import TimeForms
from tests.contract.values import write_all

if TYPE_CHECKING:
    from sqlite3 import Connection

T = TypeVar("T")

AT = 1_795_305_600  # seconds since the epoch
ENTRIES = [DirtyEntry("8.8.8.8", Geo("US"), AT, AT), DirtyEntry("9.9.9.9", Geo("CH"), AT, AT)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bangui.db"


@pytest.fixture
def web_app(path: Path) -> Iterator["Connection"]:
    with closing(engine.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(GEO_CACHE)
        connection.execute(SESSIONS)
        yield connection


@pytest.fixture
async def store(path: Path, web_app: "Connection") -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, busy_timeout=1.0, max_lock_time=0.01, clock=SystemClock())
    await store.prepare()
    yield store
    await store.close()


class Meddling(SliceWriter):
    """Lets the web app work each time just before the lock is taken."""

    def __init__(self, store: SqliteStore, meddle: Callable[[int], None]) -> None:
        super().__init__(store._gate, 0.01)
        self._meddle = meddle
        self.times = 0

    async def write(self, work: "Callable[[Connection], T]", *, rows: int) -> T:
        self._meddle(self.times)
        self.times += 1
        return await super().write(work, rows=rows)


async def write(store: SqliteStore, meddle: Callable[[int], None]) -> int:
    """Write the entries; return how many times that was tried."""
    writer = Meddling(store, meddle)
    table = store._tables["geo_cache"]
    assert isinstance(table, Table)
    odd = OddKeys(SystemClock().monotonic)
    assert not (await write_slice(store._file, writer, table, ENTRIES, odd, forms=TimeForms())).refused
    return writer.times


def countries(web_app: "Connection") -> dict[str, str]:
    return dict(web_app.execute("SELECT ip, country_code FROM geo_cache ORDER BY ip").fetchall())


async def test_a_row_that_is_inserted_meanwhile_is_not_overwritten(web_app: "Connection", store: SqliteStore) -> None:
    def meddle(times: int) -> None:
        if not times:
            web_app.execute("INSERT INTO geo_cache (ip, country_code) VALUES ('8.8.8.8', 'FR')")

    assert await write(store, meddle) == 2
    assert countries(web_app) == {"8.8.8.8": "FR", "9.9.9.9": "CH"}


async def test_a_row_that_is_resolved_meanwhile_is_not_overwritten(web_app: "Connection", store: SqliteStore) -> None:
    web_app.execute("INSERT INTO geo_cache (ip) VALUES ('8.8.8.8')")

    def meddle(times: int) -> None:
        if not times:
            web_app.execute("UPDATE geo_cache SET country_code = 'FR' WHERE ip = '8.8.8.8'")

    assert await write(store, meddle) == 2
    assert countries(web_app) == {"8.8.8.8": "FR", "9.9.9.9": "CH"}


async def test_a_row_that_is_deleted_meanwhile_is_made_again(web_app: "Connection", store: SqliteStore) -> None:
    web_app.execute("INSERT INTO geo_cache (ip) VALUES ('8.8.8.8')")

    def meddle(times: int) -> None:
        if not times:
            web_app.execute("DELETE FROM geo_cache")

    assert await write(store, meddle) == 2
    assert countries(web_app) == {"8.8.8.8": "US", "9.9.9.9": "CH"}


async def test_a_row_that_is_changed_all_the_time_is_written_all_the_same(
    web_app: "Connection", store: SqliteStore
) -> None:
    web_app.execute("INSERT INTO geo_cache (ip) VALUES ('8.8.8.8')")

    def meddle(times: int) -> None:
        web_app.execute("UPDATE geo_cache SET last_seen = ?", (to_text(AT + times),))

    assert await write(store, meddle) == OPTIMISTIC + 1
    assert countries(web_app) == {"8.8.8.8": "US", "9.9.9.9": "CH"}


async def test_a_row_that_a_trigger_spares_stops_no_other(web_app: "Connection", store: SqliteStore) -> None:
    web_app.execute("INSERT INTO geo_cache (ip) VALUES ('8.8.8.8')")
    web_app.execute("CREATE TRIGGER t BEFORE UPDATE ON geo_cache BEGIN SELECT RAISE(IGNORE); END")
    with pytest.raises(StoreRefusedError, match="a trigger of the database's keeps rows") as refusal:
        await write_all(store, ENTRIES)
    assert refusal.value.ips == {"8.8.8.8"}
    assert countries(web_app) == {"8.8.8.8": None, "9.9.9.9": "CH"}


async def test_a_new_row_that_a_trigger_drops_is_not_taken_for_written(
    web_app: "Connection", store: SqliteStore
) -> None:
    web_app.execute(
        "CREATE TRIGGER t BEFORE INSERT ON geo_cache WHEN new.ip = '8.8.8.8' BEGIN SELECT RAISE(IGNORE); END"
    )
    with pytest.raises(StoreRefusedError) as refusal:
        await write_all(store, ENTRIES)
    assert refusal.value.ips == {"8.8.8.8"}
    assert countries(web_app) == {"9.9.9.9": "CH"}


async def test_only_the_columns_that_change_are_set(web_app: "Connection", store: SqliteStore) -> None:
    web_app.execute("CREATE TABLE changed (ip TEXT)")
    web_app.execute(
        "CREATE TRIGGER t AFTER UPDATE OF country_code ON geo_cache BEGIN INSERT INTO changed VALUES (new.ip); END"
    )
    web_app.execute("INSERT INTO geo_cache (ip, country_code) VALUES ('8.8.8.8', 'US'), ('9.9.9.9', NULL)")
    await write(store, lambda _times: None)
    assert web_app.execute("SELECT ip FROM changed").fetchall() == [("9.9.9.9",)]
