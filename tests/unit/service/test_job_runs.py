"""Running a job by its id: by the settings in force, with the database made sure of, and its success noted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from bangeod.config import Settings
from bangeod.errors import StoreMissingError
from bangeod.jobs.job import JobId, Outcome
from bangeod.model import DirtyEntry, Geo
from bangeod.service.components import Components
from bangeod.service.final_flush import flush_finally
from bangeod.service.job_runs import JobRuns
from bangeod.service.state import unwritten_file
from bangeod.service.state.files import is_there
from bangeod.service.state.history import History
from bangeod.store.sqlite.engine import engine
from tests.support.daemon.served import served, settings_in
from tests.support.manual_clock import ManualClock

replace = msgspec.structs.replace


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def components(settings: Settings, clock: ManualClock) -> AsyncIterator[Components]:
    async with served(settings, clock) as components:
        yield components


@pytest.fixture
def runs(components: Components) -> JobRuns:
    return JobRuns(components, components.store.prepare)


def with_cleanup(settings: Settings, **changes: object) -> Settings:
    cleanup = replace(settings.jobs.geo_cache_cleanup, **changes)
    return replace(settings, jobs=replace(settings.jobs, geo_cache_cleanup=cleanup))


def saved_success(settings: Settings, job_id: JobId) -> float | None:
    history = History(settings.state.directory / "state.toml")
    history.load()
    return history.last_success(job_id)


async def test_a_run_goes_by_the_settings_in_force_when_it_begins(
    components: Components, settings: Settings, runs: JobRuns
) -> None:
    before = await runs.run(JobId.GEO_CACHE_CLEANUP)
    components.in_force.change(with_cleanup(settings, retention_days=7))
    after = await runs.run(JobId.GEO_CACHE_CLEANUP)
    assert [report.figures["retention_days"] for report in (before, after)] == [90, 7]


async def test_it_gets_the_time_that_the_settings_in_force_give_it(components: Components, settings: Settings) -> None:
    runs = JobRuns(components, asyncio.Event().wait)
    components.in_force.change(with_cleanup(settings, timeout=0.001))
    assert (await runs.run(JobId.GEO_CACHE_CLEANUP)).problem == "timed out after 0.001 s"


async def test_the_database_is_made_sure_of_before_each_run(components: Components) -> None:
    made_sure = []

    async def ready() -> None:
        made_sure.append(True)
        raise StoreMissingError("/bangui.db", "is not there", "make it")

    runs = JobRuns(components, ready)
    assert (await runs.run(JobId.SESSION_CLEANUP)).outcome is Outcome.FAILED
    assert made_sure == [True]


@pytest.mark.parametrize(("dry", "noted"), [(False, True), (True, False)])
async def test_a_success_is_noted_on_the_disk_unless_the_run_was_dry(
    components: Components, settings: Settings, runs: JobRuns, *, dry: bool, noted: bool
) -> None:
    assert (await runs.run(JobId.SESSION_CLEANUP, dry=dry)).succeeded
    assert (saved_success(settings, JobId.SESSION_CLEANUP) is not None) is noted


async def test_the_next_successes_wait_in_memory_for_hours(
    clock: ManualClock, components: Components, settings: Settings, runs: JobRuns
) -> None:
    first = clock.now()
    for _ in range(24):
        assert (await runs.run(JobId.GEO_RE_RESOLVE)).succeeded
        assert saved_success(settings, JobId.GEO_RE_RESOLVE) == first
        assert components.history.last_success(JobId.GEO_RE_RESOLVE) == clock.now()
        clock.advance(600)
    assert (await runs.run(JobId.GEO_RE_RESOLVE)).succeeded
    assert saved_success(settings, JobId.GEO_RE_RESOLVE) == clock.now()


async def test_what_waits_is_saved_with_the_success_of_another_job(
    clock: ManualClock, settings: Settings, runs: JobRuns
) -> None:
    await runs.run(JobId.GEO_RE_RESOLVE)
    clock.advance(600)
    await runs.run(JobId.GEO_RE_RESOLVE)
    await runs.run(JobId.SESSION_CLEANUP)
    assert saved_success(settings, JobId.GEO_RE_RESOLVE) == clock.now()


async def test_a_run_by_hand_is_on_the_disk_when_it_is_done(
    clock: ManualClock, settings: Settings, runs: JobRuns
) -> None:
    await runs.run(JobId.SESSION_CLEANUP)
    clock.advance(60)
    await runs.run(JobId.SESSION_CLEANUP, by_hand=True)
    assert saved_success(settings, JobId.SESSION_CLEANUP) == clock.now()


async def test_what_waits_is_saved_at_the_stop(
    clock: ManualClock, components: Components, settings: Settings, runs: JobRuns
) -> None:
    await runs.run(JobId.GEO_RE_RESOLVE)
    clock.advance(600)
    await runs.run(JobId.GEO_RE_RESOLVE)
    components.unwritten.take_up()
    await flush_finally(components)
    assert saved_success(settings, JobId.GEO_RE_RESOLVE) == clock.now()


async def test_a_flush_of_all_takes_away_what_an_earlier_stop_had_left(
    components: Components, settings: Settings, runs: JobRuns
) -> None:
    file = settings.state.directory / "unwritten.json"
    unwritten_file.save(file, [DirtyEntry("8.8.8.8", Geo("US", "United States"), 1, 1)])
    components.unwritten.take_up()
    assert (await runs.run(JobId.GEO_CACHE_FLUSH, dry=True)).succeeded
    assert is_there(file)
    assert (await runs.run(JobId.GEO_CACHE_FLUSH)).succeeded
    assert not is_there(file)


async def test_what_is_wrong_with_rows_is_said_once_by_all_runs(
    components: Components, settings: Settings, runs: JobRuns
) -> None:
    with closing(engine.connect(settings.database.file, isolation_level=None)) as web_app:
        web_app.execute("INSERT INTO sessions (token, expires_at) VALUES ('token', 'yesterday')")
    with capture_logs() as lines:
        for _ in range(2):
            await runs.run(JobId.SESSION_CLEANUP)
            components.in_force.change(with_cleanup(settings, retention_days=7))
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == ["unreadable_times_kept"]
