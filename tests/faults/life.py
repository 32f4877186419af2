"""One life of the daemon, from its start to its stop or sudden end, with its own wiring but a clock of the test's."""

from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from bangeod.config import Settings
from bangeod.geo.sources import RemoteSource
from bangeod.service.components import Components
from bangeod.service.daemon import Daemon
from bangeod.service.lock import DatabaseLock
from bangeod.service.loop import LoopThread
from bangeod.service.schedule.job_schedule import JobSchedule
from tests.support.daemon.manual_schedule import ManualSchedule
from tests.support.manual_clock import ManualClock

if TYPE_CHECKING:
    from bangeod.service.schedule.scheduler import JobScheduler


class Life:
    """The real Daemon, but for threads, signals, systemd and socket."""

    def __init__(self, daemon: Daemon, schedule: ManualSchedule, lock: DatabaseLock) -> None:
        self._daemon = daemon
        self._lock = lock
        self.schedule = schedule

    @classmethod
    async def begin(cls, settings: Settings, clock: ManualClock, remote: RemoteSource) -> Self:
        """Start; ``remote`` is in ip-api's place."""
        lock = DatabaseLock(settings.database.path)
        lock.acquire()
        daemon = Daemon(settings, Path("bangeod.toml"), clock, lock, LoopThread())  # which is not entered
        schedule = ManualSchedule(clock)
        daemon._scheduler = cast("JobScheduler", schedule)
        await daemon._start()
        daemon._components.resolver.remote = remote
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
