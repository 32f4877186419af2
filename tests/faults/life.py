"""One life of the daemon, from its start to its stop or sudden end, with its own wiring but a clock of the test's."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from bangeod.clock import Clock
from bangeod.config import Settings
from bangeod.geo.sources import RemoteSource
from bangeod.service.active_sources import MakeTurns, Sources
from bangeod.service.components import Components
from bangeod.service.daemon import Daemon
from bangeod.service.lock import DatabaseLock
from bangeod.service.loop import LoopThread
from bangeod.service.schedule.job_schedule import JobSchedule
from bangeod.service.settings_in_force import SettingsInForce
from bangeod.service.state.history import History
from bangeod.service.systemd import Notifier
from tests.support.daemon.manual_schedule import ManualSchedule
from tests.support.manual_clock import ManualClock

if TYPE_CHECKING:
    from bangeod.service.schedule.scheduler import JobScheduler


class _Sources(Sources):
    """The sources in force, with another in ip-api's place."""

    def __init__(
        self,
        remote: RemoteSource,
        settings: SettingsInForce,
        clock: Clock,
        history: History,
        make_turns: MakeTurns,
    ) -> None:
        super().__init__(settings, clock, history, make_turns)
        self._remote = remote

    @property
    def remote(self) -> RemoteSource:
        return self._remote


class Life:
    """The real Daemon, but for threads, signals, systemd and socket."""

    def __init__(self, daemon: Daemon, schedule: ManualSchedule, lock: DatabaseLock) -> None:
        self._daemon = daemon
        self._lock = lock
        self.schedule = schedule

    @classmethod
    async def begin(
        cls,
        settings: Settings,
        clock: ManualClock,
        remote: RemoteSource,
        *,
        config: Path = Path("bangeod.toml"),
        notifier: Notifier | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> Self:
        """Start; ``remote`` is in ip-api's place, ``sleep`` waits until background work that failed goes on."""
        lock = DatabaseLock(settings.database.file)
        lock.acquire()
        schedule = ManualSchedule(clock)
        daemon = Daemon(
            settings,
            config,
            clock,
            lock=lock,
            loop=LoopThread(),  # which is not entered
            scheduler=cast("JobScheduler", schedule),
            notifier=notifier or Notifier(None, clock),
            sleep=sleep,
            make_sources=partial(_Sources, remote),
        )
        await daemon._start()
        return cls(daemon, schedule, lock)

    @property
    def components(self) -> Components:
        """Return what the daemon is made of."""
        return self._daemon._components

    @property
    def job_schedule(self) -> JobSchedule:
        """Return what became of its runs."""
        return self._daemon._job_schedule

    async def end(self) -> None:
        """Stop as after SIGTERM: what is left is written."""
        self.schedule.shutdown()
        await self._daemon._finish()
        self._lock.release()

    async def be_killed(self) -> None:
        """Let go of all that a process holds, and write nothing: what was only in memory is lost."""
        self.schedule.shutdown()
        await self.components.close()
        self._lock.release()
