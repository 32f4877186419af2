"""The daemon: the main thread and the loop's, the schedule, signals, systemd, start and stop, wired together."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from bangeod.api.daemon_state import Standing
from bangeod.clock import Clock
from bangeod.config import Settings, load
from bangeod.errors import ConfigError, StoreError
from bangeod.jobs.job import JobId
from bangeod.service import other_daemons, status_line
from bangeod.service.active_sources import MakeTurns, Sources
from bangeod.service.background_tasks import Background
from bangeod.service.components import Components
from bangeod.service.crash import CrashGuard
from bangeod.service.database import Lock, lock_of
from bangeod.service.final_flush import flush_finally
from bangeod.service.job_runs import JobRuns
from bangeod.service.local_api import LocalApi
from bangeod.service.log import setup
from bangeod.service.loop import LoopThread
from bangeod.service.schedule import timing
from bangeod.service.schedule.job_schedule import JobSchedule
from bangeod.service.schedule.scheduler import JobScheduler
from bangeod.service.served_database import ServedDatabase
from bangeod.service.settings_in_force import SettingsInForce
from bangeod.service.signals import SignalRelay
from bangeod.service.state.history import History
from bangeod.service.state_report import StateReport
from bangeod.service.systemd import Notifier, watchdog_interval, with_more_time
from bangeod.service.verifier import Verifier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bangeod.service.fleet_notices import FleetNotices

log = structlog.get_logger(__name__)

HEALTH: Final = "health_ping"
CLOCK_EVERY: Final = 5.0  # seconds between two checks of the clocks
SOURCES_EVERY: Final = 30.0  # seconds between two checks of the MMDBs on disk
TURNS_EVERY: Final = 60.0  # seconds between two tries to tell the fleet what came of requests to ip-api
WAL_EVERY: Final = 60.0  # seconds between two looks whether the database's log is too long
GRACE: Final = 5.0  # seconds that running jobs get at the stop
# Seconds for which a thread may keep Python's lock while another waits. With Python's default of 5 ms, the event loop
# waits that long whenever SQLite's thread turns what it has read into rows.
SWITCH_INTERVAL: Final = 0.0005


def serve(settings: Settings, config: Path, clock: Clock) -> None:
    """Run the daemon in this thread until SIGTERM or SIGINT.

    Raises AlreadyServedError if another daemon serves the database.
    """
    sys.setswitchinterval(SWITCH_INTERVAL)
    lock = lock_of(settings)
    try:
        lock.acquire()
    except StoreError as error:
        log.warning("lock_not_taken", **error.log_fields())
    with contextlib.ExitStack() as last_of_all:
        last_of_all.callback(lock.release)
        with LoopThread() as loop:
            watchdog = watchdog_interval(os.environ, os.getpid())
            notifier = Notifier.from_environment(os.environ, clock, unset=True)
            scheduler = JobScheduler(loop)
            daemon = Daemon(
                settings, config, clock, lock=lock, loop=loop, scheduler=scheduler, notifier=notifier, watchdog=watchdog
            )
            daemon.run()


class Daemon:
    """All of one running daemon, created here. Everything belongs to the event loop unless marked as the main thread's.

    The constructor reads and opens nothing. ``watchdog`` is the interval of pings to systemd, in seconds; None if
    systemd expects none. ``sleep`` and ``make_sources`` are for tests.
    """

    def __init__(
        self,
        settings: Settings,
        config: Path,
        clock: Clock,
        *,
        lock: Lock,
        loop: LoopThread,
        scheduler: JobScheduler,
        notifier: Notifier,
        watchdog: float | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        make_sources: Callable[[SettingsInForce, Clock, History, MakeTurns], Sources] = Sources,
    ) -> None:
        self._config = config
        self._clock = clock
        self._lock = lock
        self._loop = loop
        self._scheduler = scheduler
        self._notifier = notifier
        self._watchdog = watchdog
        self._settings = SettingsInForce(settings)
        self._components = Components(
            self._settings,
            clock,
            lock,
            flush_soon=self._flush_soon,
            learned=self._share_soon,
            make_sources=make_sources,
        )
        self._database = ServedDatabase(
            settings.database.name,
            lock,
            self._components.store,
            self._components.cache,
            on_change=self._tell_status,
        )
        self._others = other_daemons.of(self._components, self._database.read_again, sleep)
        job_runs = JobRuns(self._components, self._database.ready)
        self._job_schedule = JobSchedule(self._components, job_runs, scheduler, self._tell_status)
        self._verifier = Verifier(self._components)
        self._fleet_notices = self._make_fleet_notices()
        self._state_report = StateReport(
            self._components,
            self._job_schedule,
            config,
            daemons=lambda: self._others.state() if self._others else None,
            listens_to_fleet=lambda: self._fleet_notices is not None and self._fleet_notices.is_listening,
        )
        self._api = LocalApi(self._components, self._job_schedule, self._state_report, self._standing)
        self._background = Background(clock, sleep=sleep)
        self._clocks = timing.ClockWatch()
        self._reloading = asyncio.Lock()
        self._refused_config = False
        self._starting: asyncio.Task[None] | None = None
        self._announced = False  # whether systemd was told that the daemon is ready
        self._owes_reload = False  # a reload was requested before that
        self._stopping = False

    def _make_fleet_notices(self) -> "FleetNotices | None":
        fleet, tier = self._components.fleet, self._components.geo_tier
        if fleet is None or tier is None:
            return None
        from bangeod.service.fleet_notices import FleetNotices  # noqa: PLC0415 - most daemons have no use for it

        return FleetNotices(fleet, tier, self._components.cache, self._ask_again)

    # --- the main thread ---

    def run(self) -> None:
        """Start, work until asked to stop, stop. Runs in the main thread."""
        heed: dict[signal.Signals, Callable[[signal.Signals], None]] = {
            signal.SIGTERM: self._request_stop,
            signal.SIGINT: self._request_stop,
            signal.SIGHUP: self._request_reload,
        }
        with CrashGuard(self._loop, self._last_steps), SignalRelay(self._loop, heed):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # one that came earlier is handled now
            with contextlib.suppress(CancelledError):  # asked to stop during the start
                self._loop.submit(with_more_time(self._notifier, self._start)).result()
                self._scheduler.run_forever(self._on_started)
            self._loop.submit(with_more_time(self._notifier, self._finish)).result()

    def _last_steps(self, reason: str) -> "Sequence[Callable[[], object]]":
        """Return the steps that are left if the daemon can't go on; runs on the loop."""
        return [
            lambda: self._notifier.status(status_line.FAILED.format(reason)),
            self._components.unwritten.keep_at_crash,
            self._lock.release,
        ]

    def _on_started(self) -> None:
        self._loop.submit(self._announce()).result()

    # --- the start ---

    async def _start(self) -> None:
        if self._stopping:  # asked to stop before this began
            raise asyncio.CancelledError
        self._starting = asyncio.current_task()
        log.info("starting", database=self._settings.current.database.name, pid=os.getpid())
        self._notifier.status(status_line.STARTING)
        self._components.read_history()
        self._components.unwritten.take_up()
        await self._components.sources.refresh()
        self._verifier.look()
        await self._open_database()
        self._clocks.observe(self._clock.now(), self._clock.monotonic())  # a step from here on moves the planned runs
        self._plan()
        await self._api.apply()
        self._starting = None

    async def _open_database(self) -> None:
        """Open the database; the cache is filled from it later. If that fails, each job tries again."""
        try:
            await self._database.ready()
        except StoreError as error:
            log.error("database_unavailable", **error.log_fields())  # noqa: TRY400 - no bug

    def _plan(self) -> None:
        self._job_schedule.plan()
        if self._watchdog is not None:
            self._scheduler.plan(HEALTH, self._ping, interval=self._watchdog, first_run=self._clock.now())

    def _flush_soon(self) -> None:
        """Run the flush now, if it is planned; the cache calls this when it should not wait."""
        self._scheduler.bring_forward(JobId.GEO_CACHE_FLUSH, self._clock.now())

    def _share_soon(self) -> None:
        """Have what was just found flushed soon, where other daemons would know it by that."""
        if self._others is not None and self._others.are_to_know(failing=self._job_schedule.failing_since):
            self._scheduler.bring_forward(JobId.GEO_CACHE_FLUSH, self._clock.now() + other_daemons.SHARED_AFTER)

    async def _announce(self) -> None:
        self._notifier.ready(self._status())
        log.info("ready", cached=self._components.cache.entries, dirty=self._components.cache.dirty)
        for work in self._others.works if self._others else ():
            self._background.keep_running(work)
        self._background.keep_running(self._keep_loaded)
        self._background.keep_running(self._watch_clock)
        self._background.keep_running(self._watch_sources)
        if self._components.fleet is not None:
            self._background.keep_running(self._settle_turns)
        self._background.keep_running(self._keep_wal_short)
        self._background.keep_running(self._keep_wal_empty)
        self._background.keep_running(self._verifier.run)
        self._background.keep_running(self._api.measure_lag)
        if self._components.geo_tier is not None:
            self._background.keep_running(self._components.geo_tier.watch)
            self._background.keep_running(self._components.geo_tier.keep_sharing)
        if self._fleet_notices is not None:
            self._background.keep_running(self._fleet_notices.listen)
            self._background.keep_running(self._fleet_notices.follow)
        self._announced = True
        if self._owes_reload:
            self._request_reload()

    # --- notifications to systemd ---

    async def _ping(self) -> None:
        """Prove that both threads are alive: the scheduler's thread has passed this call to the loop."""
        self._notifier.watchdog()

    def _standing(self) -> Standing:
        return self._state_report.standing(
            config_refused=self._refused_config, database=self._database.problem, api=self._api.problem
        )

    def _status(self) -> str:
        return status_line.line(self._standing())

    def _tell_status(self) -> None:
        self._notifier.status(self._status())

    # --- background tasks beside the jobs ---

    async def _keep_loaded(self) -> None:
        """Fill the cache whenever it is to be filled; what others write meanwhile is to be heard."""
        if self._others is not None:
            await self._others.tried()
        await self._database.keep_loaded()

    async def _watch_clock(self) -> None:
        """Plan the jobs again when the wall clock steps: APScheduler waits for times of day."""
        while True:
            step = self._clocks.observe(self._clock.now(), self._clock.monotonic())
            if step:
                log.warning("clock_stepped", seconds=round(step, 1))
                self._scheduler.clock_stepped(step, first=HEALTH)
            self._tell_status()
            await asyncio.sleep(CLOCK_EVERY)

    async def _watch_sources(self) -> None:
        """Take up MMDBs that change on disk, and ask them about unresolved addresses."""
        while True:
            await asyncio.sleep(SOURCES_EVERY)
            await self._refresh_sources()

    async def _settle_turns(self) -> None:
        """Tell the fleet what it could not be told when it was news, as its server was away."""
        while True:
            await asyncio.sleep(TURNS_EVERY)
            await self._components.sources.settle()

    async def _keep_wal_short(self) -> None:
        """Shorten a log that another program has made long; jobs tell of a database that is in trouble."""
        while True:
            await asyncio.sleep(WAL_EVERY)
            with contextlib.suppress(StoreError):
                await self._components.store.shorten_wal()

    async def _keep_wal_empty(self) -> None:
        """Empty the database's log before the web app's commits have to."""
        while True:
            pause = await self._components.store.empty_wal()
            await asyncio.sleep(pause)

    async def _refresh_sources(self) -> None:
        """Update the sources; unresolved addresses are looked up in new ones at once."""
        new = await self._components.refresh_sources()
        self._verifier.look()
        if new:
            self._job_schedule.bring_forward(JobId.GEO_RE_RESOLVE)

    def _ask_again(self) -> None:
        """Have everything asked about again that has no country: the fleet may know more than when it was away."""
        self._components.ask_again()
        self._job_schedule.bring_forward(JobId.GEO_RE_RESOLVE)

    # --- reload and stop ---

    def _request_reload(self, _number: signal.Signals | None = None) -> None:
        if not self._announced:
            self._owes_reload = True
        elif not self._stopping:
            self._background.run_once(self._reload)

    async def _reload(self) -> None:
        """Read the config again and take up changes; one reload at a time, so that the last one stays in force."""
        async with self._reloading:
            await self._reload_now()

    async def _reload_now(self) -> None:
        self._notifier.reloading()
        try:
            await self._take_up(await asyncio.to_thread(load, self._config, os.environ))
            self._refused_config = False
        except ConfigError as error:
            log.error("config_refused", **error.log_fields())  # noqa: TRY400 - the findings say it all
            self._refused_config = True
        finally:
            if not self._stopping:  # else systemd was told of the stop by now
                self._notifier.ready(self._status())

    async def _take_up(self, wanted: Settings) -> None:
        change = self._settings.change(wanted)
        if change.needing_restart:
            log.warning("config_needs_restart", keys=change.needing_restart)
        setup.configure(change.settings.log.level, change.settings.log.format, environ=os.environ)
        self._components.apply()
        await self._refresh_sources()
        self._job_schedule.plan(change.jobs)
        await self._api.apply()
        self._settings.carried_out()
        log.info("config_reloaded", changed=change.taken_up)

    def _request_stop(self, number: signal.Signals) -> None:
        if not self._stopping:
            self._stopping = True
            log.info("stopping", signal=number.name)
            self._notifier.stopping(status_line.STOPPING)
            if self._starting is not None:
                self._starting.cancel()
            self._scheduler.shutdown()

    async def _finish(self) -> None:
        """End running jobs, write the dirty set, close everything."""
        self._background.cancel()
        self._api.stop_listening()
        cancelled = await self._scheduler.drain(GRACE)
        if cancelled:
            log.warning("jobs_cut_short", jobs=cancelled)
        await self._api.close()
        await flush_finally(self._components)
        if self._others is not None:
            await self._others.leave()
        await self._components.close()
        log.info("stopped")
