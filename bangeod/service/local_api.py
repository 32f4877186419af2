"""The API in the daemon: opened and closed as the settings want it, with the daemon behind it."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from bangeod.api.daemon_state import ApiState, Standing, State
from bangeod.api.messages import Explanation
from bangeod.api.server import ApiServer
from bangeod.api.state_words import trouble
from bangeod.errors import SocketError, StoppingError
from bangeod.geo.cache.cache import GeoCache
from bangeod.jobs.job import JobId, Report
from bangeod.service import explain
from bangeod.service.components import Components
from bangeod.service.schedule.job_schedule import JobSchedule
from bangeod.service.state_report import StateReport

log = structlog.get_logger(__name__)

GRACE: Final = 1.0  # seconds that requests get when the API is closed
PULSE: Final = 5.0  # seconds between two looks at how late the event loop is; an idle daemon should hardly wake up
REMEMBERED: Final = 12  # of these


class LocalApi:
    """The server and what it asks. Everything belongs to the event loop."""

    def __init__(
        self,
        components: Components,
        job_schedule: JobSchedule,
        state_report: StateReport,
        standing: Callable[[], Standing],
    ) -> None:
        self._components = components
        self._job_schedule = job_schedule
        self._state_report = state_report
        self._standing = standing
        self._server = ApiServer(self, grace=GRACE)
        self._applied: object = None  # the settings that the socket was opened, or closed, for
        self._stopping = False
        self._lags: deque[float] = deque(maxlen=REMEMBERED)
        self.problem: str | None = None  # why it is not open although it should be

    # --- what the daemon does with it ---

    async def apply(self) -> None:
        """Open, close or move the socket as the settings want it; where it can't be, say so once and go on."""
        wanted = self._components.settings.api
        if wanted == self._applied and (self.problem is None or not wanted.enabled):
            return
        await self._server.close()
        self._applied, self.problem = wanted, None
        if not wanted.enabled:
            return
        try:
            await self._server.open(wanted.socket, wanted.permissions)
        except SocketError as error:
            self.problem = str(error)
            log.error("api_unavailable", **error.log_fields())  # noqa: TRY400 - no bug
        else:
            log.info("api_listening", socket=str(wanted.socket), mode=wanted.mode)

    def stop_listening(self) -> None:
        """Take no more connections and start no more jobs; those who wait for a job's end still hear of it."""
        self._stopping = True
        self._server.stop_listening()

    async def close(self) -> None:
        """End the requests that are left."""
        await self._server.close()

    async def measure_lag(self) -> None:
        """Note for ever how late the event loop is."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + PULSE
            await asyncio.sleep(PULSE)
            self._lags.append(max(0.0, loop.time() - due))

    # --- what the server asks ---

    @property
    def cache(self) -> GeoCache:
        """Return the cache."""
        return self._components.cache

    def trouble(self) -> str | None:
        """Say what keeps the daemon from its work; None where all is well."""
        return trouble(self._standing())

    async def state(self, api: ApiState) -> State:
        """Describe how the daemon stands."""
        return await self._state_report.state(self._standing(), api, lag=max(self._lags, default=0.0))

    async def explain(self, ips: Sequence[str]) -> list[Explanation]:
        """Say what each source says of each address."""
        return await explain.explain(self._components, ips)

    async def run_job(self, job_id: JobId, *, dry: bool) -> Report:
        """Run a job now and return its report. Raises JobRunningError, StoppingError."""
        if self._stopping:
            raise StoppingError
        return await self._job_schedule.run_by_hand(job_id, dry=dry)
