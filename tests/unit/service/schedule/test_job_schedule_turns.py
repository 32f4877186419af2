"""The schedule of a daemon beside others: jobs are looked at again soon, or planned by what another has done."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec
import pytest
from structlog.testing import capture_logs

from bangeod.config import Settings
from bangeod.errors import JobElsewhereError, StoreLockedError
from bangeod.jobs.job import JobId, Outcome
from bangeod.jobs.memory_turns import MemoryTurns
from bangeod.service.components import Components
from bangeod.service.job_runs import JobRuns
from bangeod.service.schedule.job_schedule import JobSchedule
from bangeod.service.schedule.timing import LOOK_AGAIN
from tests.support.daemon.manual_schedule import ManualSchedule
from tests.support.daemon.served import served, settings_in
from tests.support.manual_clock import ManualClock

if TYPE_CHECKING:
    from bangeod.service.schedule.scheduler import JobScheduler

JOB = JobId.SESSION_CLEANUP
INTERVAL = 6 * 3_600.0
replace = msgspec.structs.replace


class Daemon:
    """The schedule of a daemon whose jobs take turns with others."""

    def __init__(self, components: Components, turns: MemoryTurns, clock: ManualClock) -> None:
        self.components = components
        components.turns = turns
        self.failures: list[StoreLockedError] = []
        self.schedule = ManualSchedule(clock)
        self.runs = JobRuns(components, self._ready)
        self.jobs = JobSchedule(components, self.runs, cast("JobScheduler", self.schedule), lambda: None)
        self.jobs.plan(frozenset({JOB}))

    async def _ready(self) -> None:
        if self.failures:
            raise self.failures.pop()

    @property
    def planned(self) -> float:
        planned = self.schedule.next_run(JOB)
        assert planned is not None
        return planned


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def turns(clock: ManualClock) -> MemoryTurns:
    return MemoryTurns(clock)


@pytest.fixture
async def daemon(settings: Settings, clock: ManualClock, turns: MemoryTurns) -> AsyncIterator[Daemon]:
    async with served(settings, clock) as components:
        yield Daemon(components, turns, clock)


async def test_a_job_that_another_daemon_runs_is_no_failure_and_is_looked_at_again_soon(
    daemon: Daemon, clock: ManualClock, turns: MemoryTurns
) -> None:
    async with turns.take(JOB):
        with capture_logs() as lines:
            await daemon.schedule.run_next()
    assert daemon.planned == clock.now() + LOOK_AGAIN
    assert (daemon.jobs.reports, daemon.jobs.failing_since, daemon.jobs.totals[JOB].runs) == ({}, {}, 0)
    assert [(line["event"], line["log_level"]) for line in lines] == [("job_elsewhere", "debug")]
    await daemon.schedule.run_next()
    assert daemon.jobs.reports[JOB].outcome is Outcome.DONE


async def test_a_job_that_another_daemon_has_done_is_next_run_an_interval_after_that(
    daemon: Daemon, clock: ManualClock, turns: MemoryTurns
) -> None:
    turns.succeeded(JOB, 1_000)
    await daemon.schedule.run_next()
    done = turns.since_success(JOB)
    assert done is not None
    assert daemon.planned == pytest.approx(clock.now() - done + INTERVAL)
    assert daemon.components.history.last_success(JOB) == pytest.approx(clock.now() - done, abs=1)
    assert daemon.jobs.reports == {}


async def test_what_failed_here_is_well_once_another_has_done_it(daemon: Daemon, turns: MemoryTurns) -> None:
    daemon.failures.append(StoreLockedError("db", "locked", "wait"))
    await daemon.schedule.run_next()
    assert JOB in daemon.jobs.failing_since
    turns.succeeded(JOB, 0)
    await daemon.schedule.run_next()
    assert daemon.jobs.failing_since == {}


async def test_its_own_success_does_not_make_it_pass_over_the_next_run(daemon: Daemon, turns: MemoryTurns) -> None:
    for runs in (1, 2, 3):
        await daemon.schedule.run_next()
        assert daemon.jobs.totals[JOB].runs == runs


async def test_a_run_by_hand_is_done_whoever_did_it_but_not_beside_another(daemon: Daemon, turns: MemoryTurns) -> None:
    turns.succeeded(JOB, 0)
    assert (await daemon.runs.run(JOB, by_hand=True)).succeeded
    async with turns.take(JOB):
        with pytest.raises(JobElsewhereError):
            await daemon.runs.run(JOB, by_hand=True)
        assert (await daemon.runs.run(JOB, dry=True)).succeeded
        assert (await daemon.runs.run(JobId.GEO_CACHE_FLUSH)).succeeded
        assert isinstance(await daemon.jobs._by_hand(JOB, dry=False), JobElsewhereError)


async def test_what_only_this_host_knows_is_done_whoever_did_the_rest(
    settings: Settings, clock: ManualClock, turns: MemoryTurns, tmp_path: Path
) -> None:
    reads_bans = replace(settings, fail2ban=replace(settings.fail2ban, database=tmp_path / "fail2ban.sqlite3"))
    async with served(reads_bans, clock) as components:
        daemon = Daemon(components, turns, clock)
        turns.succeeded(JobId.GEO_RE_RESOLVE, 0)
        assert (await daemon.runs.run(JobId.GEO_RE_RESOLVE)).succeeded
