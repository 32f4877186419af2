"""What the daemon does beside its jobs, where it meets what nobody foresaw: it goes on, and systemd hears how it is."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing

import pytest
from structlog.testing import capture_logs

from bangeod.config import load
from bangeod.service.background_tasks import AGAIN_AFTER
from bangeod.service.daemon import Daemon
from bangeod.service.log import setup
from bangeod.service.systemd import Notifier
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.store import SqliteStore
from bangeod.store.sqlite.wal_growth import LONG
from tests.faults.life import Life
from tests.support.daemon.installation import Installation, every
from tests.support.fakes import RemoteTable
from tests.support.feed import DEADLINE
from tests.support.manual_clock import ManualClock

DAY = 86_400.0
AUTOCHECKPOINT = 1_000  # frames; sqlite.org/pragma.html#pragma_wal_autocheckpoint
LONG_LOG = 10_000_000  # bytes; the index on the tokens makes it twice that


class Manager(Notifier):
    """In systemd's place: remembers in which state the unit is."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(None, clock)
        self.told: list[str] = []

    def reloading(self) -> None:
        self.told.append("reloading")

    def ready(self, status: str) -> None:
        self.told.append("ready")


@pytest.fixture(autouse=True)
def logging_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "configure", lambda *_, **__: None)


@asynccontextmanager
async def running(
    place: Installation, clock: ManualClock, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> AsyncIterator[tuple[Life, Daemon]]:
    settings, remote, manager = load(place.config, os.environ), RemoteTable(clock), Manager(clock)
    life = await Life.begin(settings, clock, remote, config=place.config, notifier=manager, sleep=sleep)
    try:
        yield life, life._daemon
    finally:
        await life.end()


def told(daemon: Daemon) -> list[str]:
    assert isinstance(daemon._notifier, Manager)
    return daemon._notifier.told


async def test_the_clocks_are_watched_again_after_a_failure(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    steps: list[float] = []
    seen = asyncio.Event()

    def clock_stepped(step: float, first: str | None = None) -> None:
        steps.append(step)
        if len(steps) == 1:
            raise LookupError("a bug")
        seen.set()

    async def sleep(seconds: float) -> None:
        assert seconds == AGAIN_AFTER
        clock.step(-2 * DAY)

    async with running(place, clock, sleep) as (life, daemon):
        monkeypatch.setattr(life.schedule, "clock_stepped", clock_stepped)
        clock.step(-DAY)
        with capture_logs() as lines:
            await daemon._announce()
            async with asyncio.timeout(DEADLINE):
                await seen.wait()
        assert steps == [-DAY, -2 * DAY]
        assert [line["work"] for line in lines if line["event"] == "background_work_failed"] == ["_watch_clock"]


async def test_a_reload_that_fails_on_a_bug_ends_all_the_same(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(place, ManualClock()) as (_, daemon):
        monkeypatch.setattr(daemon._components, "apply", _fail)
        place.configure({"cache.max_entries": 10})
        with pytest.raises(LookupError):
            await daemon._reload()
        assert told(daemon) == ["reloading", "ready"]


async def test_a_reload_takes_up_what_the_one_before_failed_on(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    async with running(place, clock) as (life, daemon):
        with monkeypatch.context() as broken:
            broken.setattr(daemon._components.sources, "refresh", _fail)
            place.configure(every("7s"))
            with pytest.raises(LookupError):
                await daemon._reload()
        await daemon._reload()
        assert max(life.job_schedule.next_runs().values()) <= clock.now() + 10
        assert told(daemon) == ["reloading", "ready"] * 2


async def test_a_reload_undoes_what_the_one_before_failed_on(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    async with running(place, clock) as (life, daemon):
        config, before = place.config.read_text(), dict(life.job_schedule.next_runs())
        with monkeypatch.context() as broken:
            broken.setattr(daemon._api, "apply", _fail)
            place.configure(every("7s"))
            with pytest.raises(LookupError):
                await daemon._reload()
        place.config.write_text(config)
        await daemon._reload()
        assert dict(life.job_schedule.next_runs()) == before


async def test_a_log_that_others_have_made_long_is_shortened_while_no_job_has_anything_to_do(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bangeod.service.daemon.WAL_EVERY", 0.01)
    log, looked = place.database.with_name(f"{place.database.name}-wal"), asyncio.Event()
    async with running(place, ManualClock()) as (_, daemon):
        shorten = daemon._components.store.shorten_wal

        async def shorten_wal() -> None:
            await shorten()
            looked.set()

        with closing(engine.connect(place.database, isolation_level=None)) as web_app:
            web_app.execute("INSERT INTO sessions (token) VALUES (?)", ("x" * LONG_LOG,))
            assert log.stat().st_size > LONG_LOG
            monkeypatch.setattr(daemon._components.store, "shorten_wal", shorten_wal)
            await daemon._announce()
            async with asyncio.timeout(DEADLINE):
                await looked.wait()
            assert log.stat().st_size < LONG_LOG // 2


@pytest.mark.skipif(sys.platform != "linux", reason="the log is looked at as Linux has it")
async def test_a_log_that_the_web_app_makes_long_is_emptied_again_and_again(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bangeod.store.sqlite.wal_growth.LONGEST", 0.01)
    looked, lengths = asyncio.Event(), []
    async with running(place, ManualClock()) as (_, daemon):
        empty = daemon._components.store.empty_wal

        async def empty_wal() -> float:
            pause = await empty()
            looked.set()
            return pause

        with closing(engine.connect(place.database, isolation_level=None)) as web_app:
            monkeypatch.setattr(daemon._components.store, "empty_wal", empty_wal)
            await daemon._announce()
            for _ in range(4):
                for number in range(LONG):  # each of these commits makes a frame
                    web_app.execute(f"PRAGMA user_version = {number + 1}")
                for _ in range(2):  # what is looked at in the second one has all of them
                    looked.clear()
                    async with asyncio.timeout(DEADLINE):
                        await looked.wait()
                assert isinstance(daemon._components.store, SqliteStore)
                view = daemon._components.store._file.look_at_readers()
                assert view is not None
                assert view.starts_over
                lengths.append(view.frames)
    assert max(lengths) < AUTOCHECKPOINT


def _fail(*_: object) -> None:
    raise LookupError("a bug")
