"""The database's path is a symbolic link, or has one in it: SQLite's log lies beside what that leads to."""

from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from bangeod.clock import SystemClock
from bangeod.errors import StoreMissingError, StoreReplacedError
from bangeod.model import DirtyEntry, Geo
from bangeod.store.sqlite import schema
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.store import SqliteStore
from tests.support.web_app.web_app import WebApp

NOW = 1_795_305_600
INSERT = "INSERT INTO sessions (token, expires_at) VALUES ('{}', '2099-01-01T00:00:00Z')"


class Home:
    """A path with links in it (``path``), the file that it leads to, and a link to exchange (``link``)."""

    def __init__(self, directory: Path, path: Path, link: Path) -> None:
        self.path = path
        self.link = link
        self.real = directory / "data/bangui.db"
        self.other = directory / "other/bangui.db"
        for file in (self.real, self.other):
            file.parent.mkdir()
            schema.create(file)

    def exchange(self, target: Path) -> None:
        """Do what ln -sfn does."""
        new = self.link.with_name("new")
        new.symlink_to(target if self.link == self.path else target.parent)
        new.replace(self.link)

    def log(self) -> Path:
        return self.real.with_name("bangui.db-wal")


@pytest.fixture(params=["a link", "a relative link", "a chain", "a folder"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    path = tmp_path / "bangui.db"
    match request.param:
        case "a link":
            path.symlink_to(tmp_path / "data/bangui.db")
        case "a relative link":
            path.symlink_to("./data/../data/bangui.db")
        case "a chain":
            path.symlink_to("second")
            (tmp_path / "second").symlink_to("data/bangui.db")
        case "a folder":
            (tmp_path / "current").symlink_to("data")
            return Home(tmp_path, tmp_path / "current/bangui.db", tmp_path / "current")
    return Home(tmp_path, path, path)


@pytest.fixture
async def store(home: Home) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(home.path, busy_timeout=0.02, max_lock_time=0.01, clock=SystemClock())
    await store.prepare()
    await write(store, "8.8.8.8")
    yield store
    await store.close()


async def write(store: SqliteStore, *ips: str) -> None:
    async for _ in store.write([DirtyEntry(ip, Geo("US"), NOW, NOW) for ip in ips]):
        pass


def contents(path: Path) -> tuple[list[str], list[str], str]:
    with closing(engine.connect(path)) as connection:
        tokens = [token for (token,) in connection.execute("SELECT token FROM sessions")]
        ips = [ip for (ip,) in connection.execute("SELECT ip FROM geo_cache ORDER BY ip")]
        return tokens, ips, connection.execute("PRAGMA integrity_check").fetchone()[0]


def backup_of(path: Path) -> Path:
    """Make another database, with one session, beside it."""
    backup = path.with_name("backup.db")
    schema.create(backup)
    with closing(engine.connect(backup, isolation_level=None)) as connection:
        connection.execute(INSERT.format("kept"))
    return backup


async def test_it_is_one_database_from_run_to_run(store: SqliteStore, home: Home) -> None:
    assert await store.prepare() is False
    await write(store, "9.9.9.9")
    await store.close()
    assert contents(home.real) == ([], ["8.8.8.8", "9.9.9.9"], "ok")
    assert not home.log().exists()


async def test_nothing_of_the_old_log_gets_into_a_backup_that_is_renamed_over_the_target(
    store: SqliteStore, home: Home
) -> None:
    with WebApp(home.path) as worker:
        worker.execute("PRAGMA wal_autocheckpoint = 0")
        for number in range(20):
            worker.execute(INSERT.format(f"old {number}"))
        backup_of(home.real).replace(home.real)
        assert await store.prepare() is True
        assert contents(home.real) == (["kept"], [], "ok")
    await write(store, "20.0.0.1")
    await store.close()
    assert contents(home.real) == (["kept"], ["20.0.0.1"], "ok")


async def test_a_link_that_leads_to_another_database_leaves_the_old_one_whole(store: SqliteStore, home: Home) -> None:
    with WebApp(home.real) as worker:
        worker.execute(INSERT.format("old"))
        home.exchange(home.other)
        log = home.log().read_bytes()
        with pytest.raises(StoreReplacedError):
            await write(store, "20.0.0.1")
        assert await store.prepare() is True
        assert home.log().read_bytes() == log
        await write(store, "20.0.0.1")
        worker.execute(INSERT.format("old and on"))
    await store.close()
    assert contents(home.real) == (["old", "old and on"], ["8.8.8.8"], "ok")
    assert contents(home.other) == ([], ["20.0.0.1"], "ok")


async def test_the_log_of_the_other_database_stays_when_a_link_leads_to_it(store: SqliteStore, home: Home) -> None:
    with WebApp(home.other) as worker:
        worker.execute("PRAGMA wal_autocheckpoint = 0")
        worker.execute(INSERT.format("new"))
        log = home.other.with_name("bangui.db-wal")
        before = log.read_bytes()
        home.exchange(home.other)
        assert await store.prepare() is True
        assert log.read_bytes() == before
        await store.close()
        assert log.exists()
        assert worker.execute("SELECT token FROM sessions") == [["new"]]
    assert contents(home.other) == (["new"], [], "ok")
    assert contents(home.real) == ([], ["8.8.8.8"], "ok")


async def test_a_stop_after_a_link_was_exchanged_leaves_both_whole(store: SqliteStore, home: Home) -> None:
    home.exchange(home.other)
    await store.close()
    assert contents(home.real) == ([], ["8.8.8.8"], "ok")
    assert contents(home.other) == ([], [], "ok")


async def test_the_same_file_under_another_name_is_opened_anew_since_its_log_is_elsewhere(
    store: SqliteStore, home: Home
) -> None:
    await store.close()
    await store.prepare()
    home.other.unlink()
    home.other.hardlink_to(home.real)
    home.exchange(home.other)
    assert await store.prepare() is True
    home.real.unlink()
    await write(store, "20.0.0.1")
    assert home.other.with_name("bangui.db-wal").exists()


async def test_a_link_to_nowhere_is_named_with_its_target_and_the_old_database_closed(
    store: SqliteStore, home: Home
) -> None:
    home.exchange(home.other)
    home.other.unlink()
    with pytest.raises(StoreMissingError, match="there is no such database") as refusal:
        await store.prepare()
    assert str(home.link) in str(refusal.value)
    assert str(home.other) in str(refusal.value)
    assert not home.log().exists()  # nobody has it open any more
    assert contents(home.real) == ([], ["8.8.8.8"], "ok")
    home.exchange(home.real)
    assert await store.prepare() is True


async def test_links_that_lead_in_a_circle_are_said(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    store = SqliteStore(tmp_path / "one", busy_timeout=0.02, max_lock_time=0.01, clock=SystemClock())
    with pytest.raises(StoreMissingError, match=f"symbolic links lead in a circle, from {tmp_path}/one on"):
        await store.prepare()


async def test_a_database_copied_over_the_target_is_told(store: SqliteStore, home: Home) -> None:
    await store.prepare()
    home.real.write_bytes(backup_of(home.real).read_bytes())
    assert await store.prepare() is True
    assert contents(home.real) == (["kept"], [], "ok")
