"""A month in a minute: whatever becomes of the daemon, the tables stay at what the retention says, day after day."""

import gc
import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import aclosing, closing
from itertools import pairwise
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bangeod.clock import SECONDS_A_DAY
from bangeod.config.settings import (
    ApiSettings,
    CleanupJobSettings,
    DatabaseSettings,
    JobSettings,
    JobsSettings,
    Settings,
    StateSettings,
)
from bangeod.jobs.job import JobId
from bangeod.jobs.registry import DECLARATIONS
from bangeod.service.schedule import timing
from bangeod.service.state import saving
from bangeod.store import times
from bangeod.store.sqlite import schema
from tests.faults.life import Life
from tests.faults.month import TICK, Month, Ran
from tests.faults.siege import Process
from tests.faults.soak import times as often

RETENTION_DAYS = 7
BACKOFF_DAYS = 9  # it is a day at most, is kept for a week after that, and looked at when the next address fails
DAYS = 31
HOUR = 3_600.0
# Seconds; most of the work here are runs of these two that find nothing to do.
FLUSH, RE_RESOLVE = often(300.0, 60.0), often(1_800.0, 600.0)
DOWN = 11  # the day at whose noon the daemon is stopped, for a day
STEPS = {5: -2 * HOUR, 9: 3 * HOUR, 19: 40.0, 24: -0.5 * HOUR}  # of the wall clock, by day
READ_MARK = 2 * 2  # descriptors of each connection that holds it in turn, once a day had much to write
MEMORY = Path("/dev/shm")  # noqa: S108 - each success is written with an fsync, some five thousand of them


@pytest.fixture
def settings() -> Iterator[Settings]:
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as home:
        database = Path(home) / "bangui.db"
        schema.create(database)
        cleanup = CleanupJobSettings(interval=float(SECONDS_A_DAY), timeout=60.0, retention_days=RETENTION_DAYS)
        flush, re_resolve = JobSettings(interval=FLUSH, timeout=60.0), JobSettings(interval=RE_RESOLVE, timeout=540.0)
        yield Settings(
            database=DatabaseSettings(path=database),
            jobs=JobsSettings(geo_cache_flush=flush, geo_re_resolve=re_resolve, geo_cache_cleanup=cleanup),
            state=StateSettings(directory=Path(home)),
            api=ApiSettings(enabled=False),
        )
    gc.unfreeze()  # the daemon freezes what it has loaded


@pytest.mark.parametrize("seed", range(often(1, 10)))
async def test_a_month_of_restarts_kills_and_clock_steps_keeps_tables_memory_and_jobs_in_order(
    settings: Settings, seed: int
) -> None:
    process = Process(os.getpid())
    descriptors = {False: process.descriptors()}  # by whether the daemon is up
    async with aclosing(Month(settings, seed)) as month:
        chance = random.Random(-1 - seed)
        await month.start()
        for day in range(DAYS):
            with capture_logs() as logged:
                await _live_a_day(month, day, chance)
                await month.pass_time(FLUSH)  # nothing waits to be written then
            assert [line for line in logged if line["log_level"] in {"warning", "error", "critical"}] == []
            _check_tables(month)
            if month.life is not None:
                _check_memory(month, month.life)
            open_now = process.descriptors()
            at_first = descriptors.setdefault(month.life is not None, open_now)
            assert open_now <= at_first + READ_MARK, f"on day {day}"
        await month.stop()
        assert process.descriptors() <= descriptors[False]
    for job_id in JobId:
        _check_runs([run for run in month.runs if run.job_id is job_id], getattr(settings.jobs, job_id).interval)


async def _live_a_day(month: Month, day: int, chance: random.Random) -> None:
    """Live on for a day, with what happens on it."""
    if day == DOWN:
        await month.live(SECONDS_A_DAY / 2)
        await month.stop()
        await month.live(SECONDS_A_DAY / 2)
    elif day == DOWN + 1:
        await month.live(SECONDS_A_DAY / 2)
        await month.start()
        await month.live(SECONDS_A_DAY / 2)
    elif day in STEPS:
        await month.live(SECONDS_A_DAY / 3)
        month.step_clock(STEPS[day])
        await month.live(SECONDS_A_DAY / 3 * 2)
    else:
        ticks = int(SECONDS_A_DAY / TICK)
        ends = sorted(chance.sample(range(1, ticks), chance.randrange(4)))
        for before, after in pairwise([0, *ends, ticks]):
            await month.live((after - before) * TICK)
            if after < ticks:
                await month.pass_time(chance.uniform(1, FLUSH))  # somewhere between two flushes
                await (month.kill if chance.random() < 0.5 else month.stop)()
                await month.pass_time(chance.uniform(1, 30))
                await month.start()


def _check_tables(month: Month) -> None:
    """Hold the tables against the model; what the model says is checked against the contract, too."""
    with closing(month.connect()) as connection:
        rows = connection.execute("SELECT ip, last_seen, country_code FROM geo_cache").fetchall()
        sessions = {token for (token,) in connection.execute("SELECT token FROM sessions")}
    assert {ip: times.whole_seconds(seen) for ip, seen, _ in rows} == month.model.rows
    assert sessions == month.model.sessions.keys()
    if month.life is None:
        return
    wrong = {ip: country for ip, _, country in rows if country != month.country(ip)}
    assert {ip: country for ip, country in wrong.items() if country is not None or ip not in month.latest} == {}
    grace = SECONDS_A_DAY + HOUR
    assert all(seen > month.now - RETENTION_DAYS * SECONDS_A_DAY - grace for seen in month.model.rows.values())
    assert all(expires > month.now - SECONDS_A_DAY / 4 - HOUR for expires in month.model.sessions.values())


def _check_memory(month: Month, life: Life) -> None:
    """Hold what the daemon has in memory against its table."""
    cache = life.components.cache
    assert cache.dirty == 0
    assert {ip for ip, _, _ in cache._memory.table.items()} <= month.model.rows.keys()
    assert cache.negative <= len(month.nowhere & month.model.rows.keys())
    lately = {ip for ip, when in month.model.gone.items() if when > month.now - BACKOFF_DAYS * SECONDS_A_DAY}
    assert life.components.resolver.backoff._known.keys() <= month.model.rows.keys() | lately


def _check_runs(runs: list[Ran], interval: float) -> None:
    """See that a job ran as often as it should: no sooner than its interval, and no later, but for the daemon's rest.

    After a step of the wall clock the interval has passed by one of the two clocks. A kill may cost a success of the
    last hours that was not saved yet: the job runs once more then, soon after the next start.
    """
    soon = timing.SOON + len(JobId) * timing.SPREAD
    keeps_record = DECLARATIONS[runs[0].job_id].keeps_record
    late = soon if keeps_record else interval
    for before, after in pairwise(runs):
        wall, monotonic = after.wall - before.wall, after.monotonic - before.monotonic
        assert min(wall, monotonic) <= interval + (after.down - before.down) + late, (before, after)
        may_be_lost = after.kills > before.kills and interval < saving.LONGEST_WAIT
        if keeps_record and not may_be_lost:
            assert max(wall, monotonic) >= interval * (1 - timing.ON_TIME) - 1, (before, after)
    assert len(runs) * interval >= (DAYS - 2) * SECONDS_A_DAY - interval
