"""Listening to the notices of other daemons, on a connection of its own, for as long as a daemon runs.

Nobody is told what was sent while nobody listened. So each time the connection has been made anew, the caller learns
since when it may have missed something, and catches up from the rows.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TYPE_CHECKING, Final

from bangeod.errors import StoreError
from bangeod.store.postgres import faults, notices, queries
from bangeod.store.postgres.connection import Conninfo, wait_after
from bangeod.store.postgres.session import Session
from bangeod.trouble import Trouble

if TYPE_CHECKING:
    from bangeod.clock import Clock

QUIET: Final = 30.0  # seconds without a notice, after which it is seen whether the connection still leads anywhere
CATCH_UP_EVERY: Final = 3_600.0  # seconds from one catching up to the next, where nobody can listen
LOCK_TIMEOUT: Final = 5.0  # seconds; it takes no lock of anybody's


class Listener:
    """Tells ``on_addresses`` which addresses a notice on a channel names, and ``on_gap`` what may have been missed.

    ``on_gap`` is given a time, in seconds since the epoch by this machine's clock: what was sent after it may not have
    been heard. Both are awaited before the next notice is read. A StoreError of theirs counts as a lost connection, and
    so is made up for by a gap. ``is_own`` tells the server's processes whose notices are the caller's own, by their
    ids. ``channels`` are plain identifiers. Belongs to one event loop.
    """

    def __init__(
        self,
        conninfo: Conninfo,
        clock: "Clock",
        channels: Collection[str],
        on_addresses: Callable[[str, Sequence[str]], Awaitable[None]],
        on_gap: Callable[[float], Awaitable[None]],
        *,
        is_own: Callable[[int], bool] = lambda _process: False,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._session = Session(conninfo, clock, schema=None, lock_timeout=LOCK_TIMEOUT)
        self._clock = clock
        self._channels = tuple(channels)
        self._on_addresses = on_addresses
        self._on_gap = on_gap
        self._is_own = is_own
        self._sleep = sleep
        self._failures = 0  # in a row
        self._heard_until = clock.now()  # nothing that was sent before has been missed
        self._has_missed = False
        self._lost = Trouble("listening_lost", "listening_again")
        self._pooled = Trouble("listening_impossible", repeats=False)
        self._tried = asyncio.Event()
        self.is_listening = False

    async def tried(self) -> None:
        """Wait until it listens, or the first try has failed: what is read from then on is not missed unnoticed."""
        await self._tried.wait()

    async def run(self) -> None:
        """Listen; never returns."""
        try:
            while True:
                await self._sleep(await self._listen())
        finally:
            await self._session.close()

    async def _listen(self) -> float:
        """Listen until that ends; return the seconds until the next try."""
        try:
            await self._session.run(queries.NOTHING)
            if self._session.is_pooled:
                return await self._without()
            backend = self._session.backend
            for channel in self._channels:
                await self._session.run(queries.LISTEN.format(channel=channel))
            self._begin()
            if self._has_missed:
                await self._on_gap(self._heard_until)
                self._has_missed = False
            while True:
                await self._hear(backend)
        except StoreError as error:
            self._failures += 1
            self._lost.tell(error.problem, **error.log_fields())
            await self._session.close()  # what follows is to be a new connection, not one that listens no more
            return wait_after(self._failures)
        finally:
            self.is_listening = False
            self._has_missed = True
            self._tried.set()

    def _begin(self) -> None:
        self.is_listening = True
        self._failures = 0
        self._lost.is_over()
        self._pooled.forget()
        self._tried.set()

    async def _hear(self, backend: int | None) -> None:
        """Pass on the notices that come within a while; where none does, see whether the server is still there."""
        found = await self._session.notices(QUIET)
        if not found:
            await self._session.run(queries.NOTHING)
        if self._session.backend != backend:  # another connection, on which nothing is listened to
            raise faults.not_connected(self._session.conninfo)
        now = self._clock.now()
        by_channel: dict[str, dict[str, None]] = {}
        for notice in found:
            if not self._is_own(notice.sender):
                by_channel.setdefault(notice.channel, {}).update(dict.fromkeys(notices.read(notice.payload)))
        for channel, ips in by_channel.items():
            if ips:
                await self._on_addresses(channel, list(ips))
        self._heard_until = now

    async def _without(self) -> float:
        """Catch up from time to time, where a pooler gives each transaction another session."""
        await self._session.close()
        self._pooled.tell(
            problem="a pooler (PgBouncer or the like) is in between, behind which nobody can listen",
            advice="let the url lead to the server itself; until then what other daemons write is read again each hour",
        )
        now = self._clock.now()
        if self._has_missed:
            await self._on_gap(self._heard_until)
        self._heard_until = now
        return CATCH_UP_EVERY
