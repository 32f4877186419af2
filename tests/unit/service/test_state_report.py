"""How the daemon's state is gathered from its parts: the core without any work, and all of it around the core."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec
import pytest
from structlog.testing import capture_logs

from bangeod.api.daemon_state import ApiState, BansState, FleetState, Standing
from bangeod.config import Settings
from bangeod.errors import StoreError
from bangeod.geo.cache.cache import GeoCache
from bangeod.jobs.ban_watch import BanCounts
from bangeod.jobs.job import JobId
from bangeod.service.components import Components
from bangeod.service.database import lock_of
from bangeod.service.job_runs import JobRuns
from bangeod.service.lock import DatabaseLock
from bangeod.service.schedule.job_schedule import JobSchedule
from bangeod.service.served_database import ServedDatabase
from bangeod.service.settings_in_force import SettingsInForce
from bangeod.service.state_report import StateReport
from bangeod.store.postgres.url import parse
from bangeod.store.sqlite import schema
from tests.support.daemon.manual_schedule import ManualSchedule
from tests.support.manual_clock import ManualClock

if TYPE_CHECKING:
    from bangeod.service.schedule.scheduler import JobScheduler

replace = msgspec.structs.replace


class Parts:
    """A daemon's parts, without its threads; the database can't be used until it is made."""

    def __init__(self, home: Path) -> None:
        settings = Settings()
        self.database = home / "bangui.db"
        self.settings = replace(
            settings,
            database=replace(settings.database, path=self.database),
            state=replace(settings.state, directory=home / "state"),
        )
        self.clock = ManualClock()
        self.schedule = ManualSchedule(self.clock)
        self.in_force = SettingsInForce(self.settings)
        lock = DatabaseLock(self.database)
        self.components = Components(self.in_force, self.clock, lock)
        self.served = ServedDatabase(str(self.database), lock, self.components.store, self.components.cache)
        job_runs = JobRuns(self.components, self.served.ready)
        self.jobs = JobSchedule(self.components, job_runs, cast("JobScheduler", self.schedule), lambda: None)
        self.report = StateReport(self.components, self.jobs, home / "bangeod.toml")
        self.jobs.plan()

    async def run_all(self) -> None:
        """Run each job once."""
        self.clock.advance(1)
        with capture_logs():  # with its tracebacks the log would take most of the time
            for job_id in JobId:
                self.jobs.bring_forward(job_id)
                assert await self.schedule.run_next() == job_id

    def standing(self) -> Standing:
        return self.report.standing(config_refused=False, database=None, api=None)


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    parts = Parts(tmp_path)
    yield parts
    await parts.components.close()


async def test_a_job_that_fails_is_in_the_core_since_its_first_failure_until_it_succeeds(parts: Parts) -> None:
    await parts.run_all()
    since = parts.jobs.failing_since[JobId.SESSION_CLEANUP]
    await parts.run_all()
    failures = parts.standing().failures
    assert list(failures) == sorted(JobId)
    failure = failures[JobId.SESSION_CLEANUP]
    assert (failure.since, failure.of_database, failure.planned) == (since, True, True)
    assert failure.problem.startswith(f"{parts.database}: ")
    schema.create(parts.database)
    await parts.run_all()
    assert parts.standing().failures == {}


async def test_a_job_that_fails_and_is_disabled_then_is_no_longer_planned(parts: Parts) -> None:
    await parts.run_all()
    jobs = parts.settings.jobs
    off = replace(jobs, session_cleanup=replace(jobs.session_cleanup, enabled=False))
    parts.in_force.change(replace(parts.settings, jobs=off))
    standing = parts.standing()
    assert standing.planned == len(JobId) - 1
    assert [job_id for job_id, failure in standing.failures.items() if not failure.planned] == [JobId.SESSION_CLEANUP]


async def test_the_core_is_made_without_a_look_at_entries_sources_or_schedule(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_much(*_: object) -> None:
        pytest.fail("the status line is made every few seconds: this is too much for it")

    before = parts.standing()
    with monkeypatch.context() as patched:
        patched.setattr(GeoCache, "refused", property(too_much))  # goes through all that the database has refused
        for owner, name in (
            (parts.components.cache, "dirty_entries"),
            (parts.components.sources.mmdb, "states"),
            (parts.components.store, "free_bytes"),
            (parts.schedule, "planned"),
            (Path, "stat"),
        ):
            patched.setattr(owner, name, too_much)
        now = parts.standing()
    assert now == before


async def test_all_of_it_says_of_the_same_moment_what_the_core_says(parts: Parts) -> None:
    schema.create(parts.database)
    await parts.served.ready()
    parts.database.rename(parts.database.with_suffix(".away"))
    await parts.run_all()
    await parts.components.cache.lookup_batch(["8.8.8.8"])
    standing = parts.report.standing(config_refused=True, database="it is gone", api=None)
    parts.clock.advance(10)
    state = await parts.report.state(standing, ApiState(requests=3), lag=0.5)
    assert (state.now, state.healthy, state.problem) == (standing.now, False, "the database can't be used: it is gone")
    assert (state.config.refused, state.database.problem) == (True, "it is gone")
    assert (state.cache.entries, state.cache.dirty) == (standing.cached, standing.dirty) == (1, 1)
    assert {job.id: (job.failing_since, job.problem) for job in state.jobs} == {
        job_id: (failure.since, failure.problem) for job_id, failure in standing.failures.items()
    }
    assert (state.api.requests, state.loop_lag) == (3, 0.5)


async def test_a_servers_database_is_reported_by_its_url_without_the_password(tmp_path: Path) -> None:
    default = Settings()
    settings = replace(
        default,
        database=replace(default.database, path=None, url=parse(f"postgresql://web:s3kr3t@/x?host={tmp_path}")),
        state=replace(default.state, directory=tmp_path / "state"),
    )
    clock = ManualClock()
    components = Components(SettingsInForce(settings), clock, lock_of(settings))
    served = ServedDatabase(settings.database.name, components.lock, components.store, components.cache)
    job_runs = JobRuns(components, served.ready)
    jobs = JobSchedule(components, job_runs, cast("JobScheduler", ManualSchedule(clock)), lambda: None)
    report = StateReport(components, jobs, tmp_path / "bangeod.toml")
    with pytest.raises(StoreError):
        await served.ready()
    standing = report.standing(config_refused=False, database=served.problem, api=None)
    state = await report.state(standing, ApiState(), lag=0.0)
    assert (state.database.kind, state.database.path) == ("postgresql", f"postgresql://web@/x?host={tmp_path}")
    assert state.database.problem is not None
    assert "s3kr3t" not in str(state)
    await components.close()


async def test_bans_are_in_it_while_fail2ban_is_read(parts: Parts) -> None:
    parts.components.bans.counts = BanCounts({"DE": 2}, without_country=1, networks=3)
    assert (await parts.report.state(parts.standing(), ApiState(), lag=0.0)).sources.bans is None
    fail2ban = replace(parts.settings.fail2ban, database=parts.database)
    parts.in_force.change(replace(parts.settings, fail2ban=fail2ban))
    state = await parts.report.state(parts.standing(), ApiState(), lag=0.0)
    assert state.sources.bans == BansState(countries={"DE": 2}, without_country=1, networks=3)


async def test_a_fleet_is_in_it_where_this_host_is_in_one_without_its_password(parts: Parts, tmp_path: Path) -> None:
    assert (await parts.report.state(parts.standing(), ApiState(), lag=0.0)).fleet is None
    url = parse(f"postgresql://web1:s3kr3t@/fleet?host={tmp_path}")
    settings = replace(parts.settings, fleet=replace(parts.settings.fleet, url=url, host="web1"))
    components = Components(SettingsInForce(settings), parts.clock, parts.components.lock)
    report = StateReport(components, parts.jobs, tmp_path / "bangeod.toml", listens_to_fleet=lambda: True)
    state = (await report.state(parts.standing(), ApiState(), lag=0.0)).fleet
    shown = f"postgresql://web1@/fleet?host={tmp_path}"
    assert state == FleetState(url=shown, host="web1", connected=False, listening=True)
    assert components.geo_tier is not None
    assert await components.geo_tier.find(["8.8.8.8"]) == {}
    state = (await report.state(parts.standing(), ApiState(), lag=0.0)).fleet
    assert state is not None
    assert (state.away_since, (state.problem or "")[:17]) == (parts.clock.now(), "no server answers")
    await components.close()
