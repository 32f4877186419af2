"""When the cache is verified: after an MMDB has changed, be the daemon up or down meanwhile."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from bangeod.config import Settings
from bangeod.geo.cache.verification import Find, Verified
from bangeod.model import Geo
from bangeod.service.components import Components
from bangeod.service.lock import DatabaseLock
from bangeod.service.settings_in_force import SettingsInForce
from bangeod.service.verifier import Verifier
from bangeod.store.sqlite import schema
from tests.support.feed import DEADLINE
from tests.support.manual_clock import ManualClock
from tests.support.mmdb.files import nested, remove, write_mmdb

pytestmark = pytest.mark.slow  # each MMDB is probed by a process

IP = "8.8.8.8"
GERMANY = {"8.8.8.0/24": nested("DE")}
FRANCE = {"8.8.8.0/24": nested("FR")}
LATER = 1_900_000_000  # seconds since the epoch
replace = msgspec.structs.replace


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "country.mmdb"


@pytest.fixture
def settings(tmp_path: Path, file: Path) -> Settings:
    path = tmp_path / "bangui.db"
    schema.create(path)
    old = Settings()
    return replace(
        old,
        database=replace(old.database, path=path),
        state=replace(old.state, directory=tmp_path / "state"),
        geo=replace(old.geo, mmdb=(file,)),
    )


@pytest.fixture
def lock(settings: Settings) -> Iterator[DatabaseLock]:
    lock = DatabaseLock(settings.database.file)
    lock.acquire()
    yield lock
    lock.release()


class Start:
    """One run of the daemon, as far as it concerns the verifier: components that hold an entry with a country."""

    def __init__(self, settings: Settings, lock: DatabaseLock) -> None:
        self.components = Components(SettingsInForce(settings), ManualClock(), lock)
        self.components.read_history()
        self.verifier = Verifier(self.components)

    async def look(self) -> None:
        await self.components.sources.refresh()
        self.verifier.look()

    @property
    def held(self) -> Geo | None:
        return self.components.cache.known(IP)


@pytest.fixture
async def running(settings: Settings, lock: DatabaseLock) -> AsyncIterator["Runs"]:
    runs = Runs(settings, lock)
    yield runs
    await runs.end()


class Runs:
    """Starts and ends runs, one at a time."""

    def __init__(self, settings: Settings, lock: DatabaseLock) -> None:
        self._settings = settings
        self._lock = lock
        self._stack = contextlib.AsyncExitStack()

    async def start(self) -> Start:
        await self.end()
        run = Start(self._settings, self._lock)
        self._stack.push_async_callback(run.components.close)
        self._stack.push_async_callback(run.components.history.save)
        await run.look()
        await run.components.store.prepare()
        await run.components.cache.load_from_db()
        self._stack.enter_context(_cancelled(asyncio.ensure_future(run.verifier.run())))
        return run

    async def end(self) -> None:
        await self._stack.aclose()


@contextmanager
def _cancelled(task: "asyncio.Future[None]") -> Iterator[None]:
    yield
    task.cancel()


async def held(run: Start, code: str) -> bool:
    """Let the verifier work until the entry is in this country; False where that never comes."""
    for _ in range(2_000):
        if run.held is not None and run.held.country_code == code:
            return True
        await asyncio.sleep(0)
    return False


async def known(run: Start) -> None:
    """Have a row and an entry with a country that a file said."""
    await run.components.cache.lookup(IP)
    await run.components.cache.flush_dirty()


async def test_a_file_that_changes_has_the_cache_verified(running: Runs, file: Path) -> None:
    write_mmdb(file, GERMANY)
    run = await running.start()
    await known(run)
    write_mmdb(file, FRANCE)
    with capture_logs() as logs:
        await run.look()
        assert await held(run, "FR")
        await asyncio.to_thread(lambda: None)
    assert [(line["checked"], line["changed"]) for line in logs if line["event"] == "geo_cache_verified"] == [(1, 1)]


async def test_a_file_that_changed_while_the_daemon_was_down_has_it_verified_too(running: Runs, file: Path) -> None:
    write_mmdb(file, GERMANY)
    await known(await running.start())
    await running.end()
    write_mmdb(file, FRANCE, build_epoch=LATER)
    assert await held(await running.start(), "FR")


async def test_the_first_file_after_a_time_without_one_has_it_verified(running: Runs, file: Path) -> None:
    run = await running.start()
    await known(run)  # from the embedded default
    run.components.history.succeeded("geo_re_resolve", 1_700_000_000)
    write_mmdb(file, FRANCE, build_epoch=LATER)
    assert await held(await running.start(), "FR")


async def test_at_the_very_first_start_rows_stay_as_the_web_app_made_them(running: Runs, file: Path) -> None:
    write_mmdb(file, GERMANY)
    run = await running.start()
    await known(run)
    await running.end()
    (run.components.history._path).unlink()
    write_mmdb(file, FRANCE, build_epoch=LATER)
    assert not await held(await running.start(), "FR")


async def test_the_same_files_have_nothing_verified_again(running: Runs, file: Path) -> None:
    write_mmdb(file, GERMANY)
    await known(await running.start())
    with capture_logs() as logs:
        run = await running.start()
        await run.look()
        assert not await held(run, "FR")
    assert "geo_cache_verified" not in {line["event"] for line in logs}


async def test_files_that_are_gone_have_nothing_verified(running: Runs, file: Path) -> None:
    write_mmdb(file, GERMANY)
    await known(await running.start())
    remove(file)
    run = await running.start()
    assert not await held(run, "FR")
    assert run.held is not None


async def test_a_table_that_is_loaded_anew_meanwhile_is_verified_once_more(
    running: Runs, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mmdb(file, GERMANY)
    run = await running.start()
    await known(run)
    cache, verify, times, again = run.components.cache, run.components.cache.verify, 0, asyncio.Event()

    async def verify_and_load(find: Find) -> Verified:
        nonlocal times
        result = await verify(find)
        times += 1
        if times == 1:
            cache.clear()
            await cache.load_from_db()
        else:
            again.set()
        return result

    monkeypatch.setattr(cache, "verify", verify_and_load)
    write_mmdb(file, FRANCE)
    await run.look()
    assert await held(run, "FR")
    await asyncio.wait_for(again.wait(), DEADLINE)  # a thread loads the table
    for _ in range(2_000):
        await asyncio.sleep(0)
    assert times == 2  # and no more


async def test_files_that_go_meanwhile_are_not_noted_as_verified(
    running: Runs, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mmdb(file, GERMANY)
    run = await running.start()
    await known(run)
    before, verify = run.components.history.verified(), run.components.cache.verify
    done = asyncio.Event()

    async def lose_files_and_verify(find: Find) -> Verified:
        run.components.sources.mmdb.set_paths(())
        done.set()
        return await verify(find)

    monkeypatch.setattr(run.components.cache, "verify", lose_files_and_verify)
    write_mmdb(file, FRANCE, build_epoch=LATER)
    await run.look()
    await done.wait()
    for _ in range(100):
        await asyncio.sleep(0)
    assert run.components.history.verified() == before
