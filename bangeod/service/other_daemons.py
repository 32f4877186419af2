"""The other daemons on a server's database: hearing what they write, and telling each other who is there."""

import asyncio
import hashlib
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from bangeod.api.daemon_state import DaemonsState
from bangeod.service.background_tasks import Work
from bangeod.service.components import Components
from bangeod.service.following import Following

if TYPE_CHECKING:
    from bangeod.fleet.heartbeat import Heartbeat
    from bangeod.store.postgres.listening import Listener

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

    def __init__(self, heard: Heard | None, heartbeat: "Heartbeat", *, every: float, sleep: Sleep) -> None:
        self._heard = heard
        self._heartbeat = heartbeat
        self._every = every
        self._sleep = sleep

    @property
    def works(self) -> Sequence[Work]:
        """What is to be kept running."""
        heard = self._heard
        return [self._beat] if heard is None else [heard.listener.run, heard.following.run, self._beat]

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

    ``catch_up`` has the whole table read again, in the background.
    """
    settings, clock = components.settings, components.clock
    url = settings.database.url
    if url is None:
        return None
    from bangeod.fleet import heartbeat  # noqa: PLC0415 - most daemons have no use for it
    from bangeod.store.postgres.session import Session  # noqa: PLC0415 - as above

    session = Session(url.conninfo(), clock, schema=None, lock_timeout=settings.database.busy_timeout)
    beat = heartbeat.Heartbeat(session, clock, host=socket.gethostname(), instance=_instance(settings.state.directory))
    return OtherDaemons(_heard(components, catch_up, sleep), beat, every=heartbeat.EVERY, sleep=sleep)


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
    return hashlib.blake2b(str(state).encode(errors="surrogateescape"), digest_size=4).hexdigest()
