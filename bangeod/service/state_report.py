"""The state of the daemon, gathered from its parts: the core at any time, everything for the API."""

import asyncio
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from bangeod import __version__
from bangeod.api.daemon_state import (
    ApiState,
    BansState,
    CacheState,
    ConfigState,
    DaemonsState,
    DatabaseState,
    Failure,
    FleetState,
    IpApiState,
    JobState,
    MmdbState,
    SourcesState,
    Standing,
    State,
    Timestamp,
)
from bangeod.api.state_words import current_problem
from bangeod.errors import StoreError
from bangeod.geo.sources.mmdb.slot import FileState, FileStatus
from bangeod.jobs.job import JobId
from bangeod.service.components import Components
from bangeod.service.log import setup
from bangeod.service.schedule.job_schedule import JobSchedule

DATABASE_SECONDS: Final = 1.0  # for the database to report its content; after that it is left out


class StateReport:
    """Gathers the state of the daemon. Used on the event loop only."""

    def __init__(
        self,
        components: Components,
        job_schedule: JobSchedule,
        config: Path,
        *,
        daemons: Callable[[], DaemonsState | None] = lambda: None,
        listens_to_fleet: Callable[[], bool] = lambda: False,
    ) -> None:
        self._listens_to_fleet = listens_to_fleet
        self._components = components
        self._job_schedule = job_schedule
        self._config = config
        self._daemons = daemons
        self._started = Timestamp(components.clock.now())

    def standing(self, *, config_refused: bool, database: str | None, api: str | None) -> Standing:
        """Return the core; the caller passes what only it knows: the problems of config, database and API."""
        cache, job_schedule = self._components.cache, self._job_schedule
        disabled = job_schedule.disabled
        return Standing(
            now=self._components.clock.now(),
            planned=len(JobId) - len(disabled),
            cached=cache.entries,
            progress=cache.progress,
            dirty=cache.dirty,
            last_flush=job_schedule.totals[JobId.GEO_CACHE_FLUSH].last_success,
            failures={job_id: self._failure(job_id, disabled) for job_id in sorted(job_schedule.failing_since)},
            config_refused=config_refused,
            database=database,
            api=api,
        )

    def _failure(self, job_id: JobId, disabled: Collection[JobId]) -> Failure:
        report, since = self._job_schedule.reports[job_id], self._job_schedule.failing_since[job_id]
        planned = job_id not in disabled
        return Failure(since, report.problem or "", report.condition, of_database=report.of_database, planned=planned)

    async def state(self, standing: Standing, api: ApiState, *, lag: float) -> State:
        """Return the whole state around the core; ``lag`` is the event loop's, in seconds."""
        problem = current_problem(standing)
        return State(
            version=__version__,
            pid=os.getpid(),
            started=self._started,
            now=Timestamp(standing.now),
            healthy=problem is None,
            problem=problem,
            config=ConfigState(path=str(self._config), refused=standing.config_refused),
            jobs=self._jobs(standing),
            cache=self._cache(standing),
            sources=self._sources(standing.now),
            database=await self._database(standing),
            daemons=self._daemons(),
            api=api,
            fleet=self._fleet(),
            loop_lag=lag,
            log_entries_dropped=setup.lost(),
        )

    def _jobs(self, standing: Standing) -> list[JobState]:
        planned, running = self._job_schedule.next_runs(), self._job_schedule.running
        return [
            self._job(job_id, planned.get(job_id), standing.failures.get(job_id), running=job_id in running)
            for job_id in JobId
        ]

    def _job(self, job_id: JobId, next_run: float | None, failure: Failure | None, *, running: bool) -> JobState:
        settings = getattr(self._components.settings.jobs, job_id)
        report, totals = self._job_schedule.reports.get(job_id), self._job_schedule.totals[job_id]
        return JobState(
            id=job_id,
            enabled=settings.enabled,
            interval=settings.interval,
            timeout=settings.timeout,
            running=running,
            next_run=_time(next_run),
            last_run=_time(report.started_at if report else None),
            last_success=_time(self._components.history.last_success(job_id) or totals.last_success),
            outcome=report.outcome if report else None,
            duration=report.duration if report else None,
            figures=dict(report.figures) if report else {},
            problem=failure.problem if failure else None,
            failing_since=_time(failure.since if failure else None),
            runs=totals.runs,
            failures=totals.failures,
            total_duration=totals.seconds,
            written=totals.written,
            deleted=totals.deleted,
            unreadable=totals.unreadable,
        )

    def _cache(self, standing: Standing) -> CacheState:
        cache, settings = self._components.cache, self._components.settings.cache
        return CacheState(
            entries=standing.cached,
            max_entries=settings.max_entries,
            dirty=standing.dirty,
            max_dirty=settings.max_dirty,
            negative=cache.negative,
            refused=cache.refused,
            not_kept=cache.not_kept,
            loaded=cache.loaded,
            progress=standing.progress,
        )

    def _sources(self, now: float) -> SourcesState:
        sources, settings = self._components.sources, self._components.settings
        fail2ban = settings.fail2ban.database
        # A file that may still be fetched is not missing.
        files = [state for state in sources.mmdb.states() if settings.geo.mmdb or state.status != FileStatus.MISSING]
        return SourcesState(
            mmdb=[_mmdb(state, now) for state in files],
            mmdb_reloads=sources.mmdb_reloads,
            embedded=sources.embedded.in_force,
            ip_api=self._ip_api(now),
            fail2ban=None if fail2ban is None else str(fail2ban),
            bans=self._bans(),
        )

    def _bans(self) -> BansState | None:
        counts = self._components.bans.counts
        if counts is None or self._components.settings.fail2ban.database is None:
            return None
        return BansState(
            countries=dict(counts.countries), without_country=counts.without_country, networks=counts.networks
        )

    def _ip_api(self, now: float) -> IpApiState:
        client = self._components.sources.ip_api
        if client is None:
            return IpApiState(enabled=False)
        usage = client.usage()
        until = Timestamp(now + usage.wait) if usage.wait > 0 else None
        return IpApiState(
            enabled=True,
            requests=usage.requests,
            remaining=usage.remaining,
            paused_until=until,
            reason=usage.reason,
            refused=usage.refused,
        )

    def _fleet(self) -> FleetState | None:
        fleet, tier = self._components.fleet, self._components.geo_tier
        if fleet is None or tier is None:
            return None
        return FleetState(
            url=fleet.conninfo.shown,
            host=fleet.host,
            connected=fleet.is_connected,
            away_since=_time(fleet.away_since),
            problem=fleet.problem,
            listening=self._listens_to_fleet(),
            answered=tier.answered,
            shared=tier.sharing.shared,
            waiting=len(tier.outbox),
            dropped=tier.outbox.dropped,
            last_share=_time(tier.sharing.last_success),
        )

    async def _database(self, standing: Standing) -> DatabaseState:
        settings = self._components.settings.database
        kind = "sqlite" if settings.url is None else "postgresql"
        state = DatabaseState(path=settings.name, kind=kind, problem=standing.database)
        try:
            async with asyncio.timeout(DATABASE_SECONDS):
                state.size, state.wal = await self._components.store.sizes()
                state.free = await self._components.store.free_bytes()
        except TimeoutError:
            pass
        except StoreError as error:
            state.problem = state.problem or error.problem
        return state


def _mmdb(state: FileState, now: float) -> MmdbState:
    return MmdbState(
        path=str(state.path),
        status=state.status.value,
        database_type=state.database_type,
        build_time=_time(state.build_epoch),
        age=None if state.build_epoch is None else max(0.0, now - state.build_epoch),
        records=state.records,
        good_for=None if state.coverage is None else str(state.coverage),
        lookup_errors=state.lookup_errors,
        problem=state.problem,
    )


def _time(epoch: float | None) -> Timestamp | None:
    return None if epoch is None else Timestamp(epoch)
