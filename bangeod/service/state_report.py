"""How the daemon stands, gathered for the API: what ``bangeod status`` and the metrics show."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from bangeod import __version__
from bangeod.api.status_document import (
    ApiState,
    CacheState,
    ConfigState,
    DatabaseState,
    IpApiState,
    JobState,
    MmdbState,
    SourcesState,
    State,
)
from bangeod.clock import to_text
from bangeod.errors import StoreError
from bangeod.geo.sources.mmdb.slot import FileState, FileStatus
from bangeod.jobs.job import JobId
from bangeod.service.components import Components
from bangeod.service.log import setup
from bangeod.service.schedule.job_schedule import JobSchedule
from bangeod.service.status_line import Facts

DATABASE_SECONDS: Final = 1.0  # that the database has to say what it holds; else that is left out


class StateReport:
    """Looks at the parts of the daemon. The event loop's."""

    def __init__(self, components: Components, job_schedule: JobSchedule, config: Path) -> None:
        self._components = components
        self._job_schedule = job_schedule
        self._config = config
        self._started = components.clock.now()

    async def draw(self, facts: Facts, api: ApiState, *, lag: float) -> State:
        """Describe everything; ``lag`` is the event loop's, in seconds."""
        now = self._components.clock.now()
        problem = trouble(facts)
        return State(
            version=__version__,
            pid=os.getpid(),
            started=to_text(self._started),
            now=to_text(now),
            healthy=problem is None,
            problem=problem,
            config=ConfigState(path=str(self._config), refused=facts.refused_config),
            jobs=self._jobs(),
            cache=self._cache(),
            sources=self._sources(now),
            database=await self._database(facts),
            api=api,
            loop_lag=lag,
            log_entries_dropped=setup.lost(),
        )

    def _jobs(self) -> list[JobState]:
        planned, running = self._job_schedule.next_runs(), self._job_schedule.running
        return [self._job(job_id, planned, running=job_id in running) for job_id in JobId]

    def _job(self, job_id: JobId, planned: Mapping[str, float], *, running: bool) -> JobState:
        settings = getattr(self._components.settings.jobs, job_id)
        report, totals = self._job_schedule.reports.get(job_id), self._job_schedule.totals[job_id]
        return JobState(
            id=job_id,
            enabled=settings.enabled,
            interval=settings.interval,
            timeout=settings.timeout,
            running=running,
            next_run=_text(planned.get(job_id)),
            last_run=_text(report.started_at if report else None),
            last_success=_text(self._components.history.last_success(job_id) or totals.last_success),
            outcome=report.outcome if report else None,
            duration=report.duration if report else None,
            figures=dict(report.figures) if report else {},
            problem=report.problem if report else None,
            failing_since=_text(self._job_schedule.failing_since.get(job_id)),
            runs=totals.runs,
            failures=totals.failures,
            total_duration=totals.seconds,
            written=totals.written,
            deleted=totals.deleted,
            unreadable=totals.unreadable,
        )

    def _cache(self) -> CacheState:
        cache, settings = self._components.cache, self._components.settings.cache
        return CacheState(
            entries=cache.entries,
            max_entries=settings.max_entries,
            dirty=cache.dirty,
            max_dirty=settings.max_dirty,
            negative=cache.negative,
            refused=cache.refused,
            not_kept=cache.not_kept,
            loaded=cache.loaded,
        )

    def _sources(self, now: float) -> SourcesState:
        sources, settings = self._components.sources, self._components.settings
        fail2ban = settings.fail2ban.database
        # One that may be fetched some day is not missing.
        files = [state for state in sources.mmdb.states() if settings.geo.mmdb or state.status != FileStatus.MISSING]
        return SourcesState(
            mmdb=[_mmdb(state, now) for state in files],
            mmdb_reloads=sources.mmdb_reloads,
            embedded=sources.embedded.in_force,
            ip_api=self._ip_api(now),
            fail2ban=None if fail2ban is None else str(fail2ban),
        )

    def _ip_api(self, now: float) -> IpApiState:
        client = self._components.sources.ip_api
        if client is None:
            return IpApiState(enabled=False)
        standing = client.standing()
        until = to_text(now + standing.wait) if standing.wait > 0 else None
        return IpApiState(
            enabled=True,
            requests=standing.requests,
            remaining=standing.remaining,
            paused_until=until,
            reason=standing.reason,
            refused=standing.refused,
        )

    async def _database(self, facts: Facts) -> DatabaseState:
        path = self._components.settings.database.path
        size, wal = await self._components.store.sizes()
        state = DatabaseState(path=str(path), problem=facts.database, size=size, wal=wal)
        try:
            async with asyncio.timeout(DATABASE_SECONDS):
                state.free = await self._components.store.free_bytes()
        except TimeoutError:
            pass
        except StoreError as error:
            state.problem = state.problem or error.problem
        return state


def trouble(facts: Facts) -> str | None:
    """Say what keeps the daemon from its work: a database that can't be used, or that was not read yet.

    That it can be read does not mean that it can be written: what jobs fail on counts as well, until they succeed.
    """
    problem = facts.database or next(_met_by_jobs(facts), None)
    return None if problem is None else f"the database can't be used: {problem}"


def _met_by_jobs(facts: Facts) -> Iterator[str]:
    for job_id in sorted(facts.failing_since):
        report = facts.reports[job_id]
        if report.of_database and report.problem is not None and job_id not in facts.disabled:
            yield report.problem


def _mmdb(state: FileState, now: float) -> MmdbState:
    return MmdbState(
        path=str(state.path),
        status=state.status.value,
        database_type=state.database_type,
        build_time=_text(state.build_epoch),
        age=None if state.build_epoch is None else max(0.0, now - state.build_epoch),
        records=state.records,
        good_for=None if state.coverage is None else str(state.coverage),
        lookup_errors=state.lookup_errors,
        problem=state.problem,
    )


def _text(epoch: float | None) -> str | None:
    return None if epoch is None else to_text(epoch)
