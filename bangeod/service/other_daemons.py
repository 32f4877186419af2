"""The other daemons on a server: hearing what they write to the same database, and telling each other who is there."""

import asyncio
import math
import socket
import zlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from bangeod.api.daemon_state import DaemonsState
from bangeod.clock import Clock
from bangeod.jobs.job import JobId
from bangeod.service.background_tasks import Work
from bangeod.service.components import Components
from bangeod.service.following import Following

if TYPE_CHECKING:
    from bangeod.fleet.heartbeat import Heartbeat
    from bangeod.store.postgres.listening import Listener

SHARED_AFTER: Final = 0.5  # seconds; what is found by then goes with it, and a second is the aim
LEAVING: Final = 2.0  # seconds that the server has for it at the stop
Sleep = Callable[[float], Awaitable[None]]


class Heard(NamedTuple):
    """What hears of other daemons' writing to the same database, and what has memory follow."""

    listener: "Listener"
    following: Following


class OtherDaemons:
    """What a daemon does because of others. Used on the event loop only.

    ``heard`` is None where nobody else writes to the database; ``every`` is the seconds between two beats.
    """

    def __init__(
        self, clock: Clock, heard: Heard | None, heartbeat: "Heartbeat", *, every: float, sleep: Sleep
    ) -> None:
        self._clock = clock
        self._shared_at = -math.inf  # monotonic; when what is found was last said to be flushed soon
        self._heard = heard
        self._heartbeat = heartbeat
        self._every = every
        self._sleep = sleep

    @property
    def works(self) -> Sequence[Work]:
        """What is to be kept running."""
        heard = self._heard
        return [self._beat] if heard is None else [heard.listener.run, heard.following.run, self._beat]

    def are_to_know(self, *, failing: Collection[JobId]) -> bool:
        """Say whether what was just found is to be flushed ``SHARED_AFTER`` from now, for others; not if it is anyway.

        Not where this is known to be the only daemon, nor while a flush fails, which has its own times.
        """
        present, now = self._heartbeat.present, self._clock.monotonic()
        is_alone = self._heard is None or (present is not None and present.daemons == 1)
        if is_alone or JobId.GEO_CACHE_FLUSH in failing or now - self._shared_at < SHARED_AFTER:
            return False
        self._shared_at = now
        return True

    async def tried(self) -> None:
        """Wait until others are heard, or a first try to listen has failed."""
        if self._heard is not None:
            await self._heard.listener.tried()

    def state(self) -> DaemonsState:
        """Return who is there, and how they are heard."""
        present, heard = self._heartbeat.present, self._heard
        state = DaemonsState()
        if present is not None:
            state.count, state.clocks = present.daemons, dict(present.clocks)
        if heard is not None:
            state.listening, state.lag = heard.listener.is_listening, heard.following.lag
        return state

    async def leave(self) -> None:
        """Tell the others that this daemon ends, if there is time for that."""
        try:
            async with asyncio.timeout(LEAVING):
                await self._heartbeat.leave()
        except TimeoutError:
            return

    async def _beat(self) -> None:
        while True:
            await self._heartbeat.beat()
            await self._sleep(self._every)


def of(components: Components, catch_up: Callable[[], None], sleep: Sleep) -> OtherDaemons | None:
    """Make it where there is a server by which daemons know each other; None where there is none.

    That is the fleet's, else the database's. ``catch_up`` has the whole table read again, in the background.
    """
    settings, clock, fleet = components.settings, components.clock, components.fleet
    url = settings.database.url
    if fleet is not None:
        session = fleet.writer
    elif url is not None:
        from bangeod.store.postgres.session import Session  # noqa: PLC0415 - most daemons have no use for it

        session = Session(url.conninfo(), clock, schema=None, lock_timeout=settings.database.busy_timeout)
    else:
        return None
    from bangeod.fleet import heartbeat  # noqa: PLC0415 - as above

    host = settings.fleet.host or socket.gethostname()
    beat = heartbeat.Heartbeat(session, clock, host=host, instance=_instance(settings.state.directory))
    return OtherDaemons(clock, _heard(components, catch_up, sleep), beat, every=heartbeat.EVERY, sleep=sleep)


def _heard(components: Components, catch_up: Callable[[], None], sleep: Sleep) -> Heard | None:
    settings, clock, store = components.settings, components.clock, components.store
    if settings.database.url is None:
        return None
    from bangeod.store.postgres.announcing import CHANNEL  # noqa: PLC0415 - as above
    from bangeod.store.postgres.listening import Listener  # noqa: PLC0415 - as above
    from bangeod.store.postgres.store import PostgresStore  # noqa: PLC0415 - as above

    following = Following(components.cache, clock, catch_up, sleep=sleep)
    listener = Listener(
        settings.database.url.conninfo(),
        clock,
        [CHANNEL],
        following.on_addresses,
        following.on_gap,
        is_own=store.is_own if isinstance(store, PostgresStore) else lambda _backend: False,
        sleep=sleep,
    )
    return Heard(listener, following)


def _instance(state: Path) -> str:
    """Return what tells a daemon from others of its host, and stays the same: its state directory is its own."""
    return f"{zlib.crc32(str(state).encode(errors='surrogateescape')):08x}"
