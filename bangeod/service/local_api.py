"""The API within the daemon: opened and closed by the settings, and its access to the daemon."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from bangeod.api.daemon_state import ApiState, Standing, State
from bangeod.api.messages import Explanation, Top, TopQuery
from bangeod.api.server import ApiServer
from bangeod.api.state_words import current_problem
from bangeod.errors import SocketError, StoppingError
from bangeod.geo.cache.cache import GeoCache
from bangeod.jobs.job import JobId, Report
from bangeod.service import explain, top
from bangeod.service.components import Components
from bangeod.service.schedule.job_schedule import JobSchedule
from bangeod.service.state_report import StateReport

log = structlog.get_logger(__name__)

GRACE: Final = 1.0  # seconds that requests get when the API is closed
PULSE: Final = 5.0  # seconds between two measurements of the loop's delay; an idle daemon should hardly wake up
REMEMBERED: Final = 12  # measurements


class LocalApi:
    """The API server, and the Backend that it asks. Used on the event loop only."""

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
        self._applied: object = None  # the settings by which the socket was opened, or closed
        self._stopping = False
        self._lags: deque[float] = deque(maxlen=REMEMBERED)
        self.problem: str | None = None  # why the socket is not open although it should be

    # --- called by the daemon ---

    async def apply(self) -> None:
        """Open, close or move the socket by the settings; a failure is logged once, and the daemon goes on."""
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
        """Take no more connections and start no more jobs; clients that wait for a job still get its report."""
        self._stopping = True
        self._server.stop_listening()

    async def close(self) -> None:
        """End the requests that are left."""
        await self._server.close()

    async def measure_lag(self) -> None:
        """Measure how late the event loop is; never returns."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + PULSE
            await asyncio.sleep(PULSE)
            self._lags.append(max(0.0, loop.time() - due))

    # --- called by the server ---

    @property
    def cache(self) -> GeoCache:
        return self._components.cache

    def current_problem(self) -> str | None:
        return current_problem(self._standing())

    async def state(self, api: ApiState) -> State:
        return await self._state_report.state(self._standing(), api, lag=max(self._lags, default=0.0))

    async def explain(self, ips: Sequence[str]) -> list[Explanation]:
        return await explain.explain(self._components, ips)

    async def top(self, asked: TopQuery) -> Top:
        return await top.count(self._components, asked)

    async def run_job(self, job_id: JobId, *, dry: bool) -> Report:
        if self._stopping:
            raise StoppingError
        return await self._job_schedule.run_by_hand(job_id, dry=dry)
