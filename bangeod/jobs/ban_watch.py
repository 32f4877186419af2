"""Who is banned now, as far as the jobs want to know. No answer is never a reason to fail."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from bangeod.banned import Banned, Reading
from bangeod.errors import StoreError, StoreIncompleteError, StoreLockedError
from bangeod.jobs.disabled_jails import APART, DisabledJails
from bangeod.jobs.job import Run
from bangeod.trouble import Trouble

SHARE: Final = 0.25  # of the time that a run has left: the rest is for the work, which goes on without an answer too
LOOKS: Final = 4  # at most, until two of them agree on the jails; with their pauses some 6 s


class BanSource(Protocol):
    """fail2ban's own database."""

    async def banned(self, now: int, within: float) -> Reading:
        """Return who is banned at ``now`` (seconds since the epoch).

        Raises StoreError where that can't be read: StoreLockedError or StoreIncompleteError where it is locked, or
        can't be read as a whole within so many seconds.
        """


class BanWatch:
    """What the jobs ask. One that they share tells a trouble once, and its end.

    ``source`` returns whom to ask now, if anybody. ``sleep`` waits between two looks; it takes seconds.
    """

    def __init__(
        self,
        source: Callable[[], BanSource | None] = lambda: None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._source = source
        self._sleep = sleep
        self._unreadable = Trouble("fail2ban_unreadable", "fail2ban_recovered")

    async def banned_now(self, run: Run) -> Banned:
        """Return who is banned; nobody where there is no source, or (with a warning) where it can't be read."""
        return (await self.look(run)).banned

    async def look(self, run: Run) -> Reading:
        """Return what fail2ban's database says; nothing where there is no source, or where it can't be read.

        What could not be read because of a lock or for want of time is not ``complete``: there may be bans that
        nobody knows of, and the next look may find them. A source that can't be read for another reason stays like
        that until somebody mends it; who waited for that would let the database grow.
        """
        source = self._source()
        if source is None:
            self._unreadable.forget()
            return Reading()
        answer = await self._ask(source, run)
        if isinstance(answer, StoreError):
            return Reading(complete=not isinstance(answer, StoreLockedError | StoreIncompleteError))
        return answer

    async def look_again(self, jails: DisabledJails, run: Run) -> None:
        """Have further looks until two agree on which jails are gone, or there is no time for more."""
        for _ in range(LOOKS - 1):
            while (wait := jails.wait(run.clock.monotonic())) > 0 and not jails.settled:
                if run.time_left() <= wait + APART:
                    return
                await self._sleep(wait)
            source = self._source()
            if jails.settled or source is None:
                return
            answer = await self._ask(source, run)
            if isinstance(answer, StoreError):
                return
            jails.take(answer, run.clock.monotonic())

    async def _ask(self, source: BanSource, run: Run) -> Reading | StoreError:
        """Read; tell a trouble, and its end."""
        try:
            reading = await source.banned(int(run.clock.now()), run.time_left() * SHARE)
        except StoreError as error:
            what, where = error.problem, error.path
            self._unreadable.tell((where, what), database=where, problem=what, advice=error.advice)
            return error
        self._unreadable.is_over(banned=len(reading.banned.addresses))
        return reading
