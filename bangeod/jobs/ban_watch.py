"""Reading for the jobs who is banned now, from fail2ban's database. A failure to read never makes a job fail."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from bangeod.banned import Banned, Reading
from bangeod.errors import StoreError, StoreIncompleteError, StoreLockedError
from bangeod.jobs.disabled_jails import APART, DisabledJails
from bangeod.jobs.job import Run
from bangeod.trouble import Trouble

SHARE: Final = 0.25  # of the time that a run has left; the rest is for the work, which goes on even without an answer
LOOKS: Final = 4  # at most, until two looks agree on the jails; with the pauses some 6 s


class BanSource(Protocol):
    """The reader of fail2ban's database."""

    async def banned(self, now: int, within: float) -> Reading:
        """Return who is banned at ``now`` (seconds since the epoch).

        Raises StoreError if that can't be read: StoreLockedError if the database is locked, StoreIncompleteError if it
        can't be read completely ``within`` so many seconds.
        """


class BanWatch:
    """Reads who is banned, for all jobs: they share it, so that a trouble and its end are logged once.

    ``source`` returns the reader to use now, or None. ``sleep`` waits between two looks; it takes seconds.
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
        """Return who is banned; nobody if there is no source, or (with a warning) if it can't be read."""
        return (await self.look(run)).banned

    async def look(self, run: Run) -> Reading:
        """Return one reading of fail2ban's database; an empty one if there is no source, or if it can't be read.

        A reading that a lock or lack of time prevented is not ``complete``: there may be bans that nobody knows of, and
        the next look may find them. A source that can't be read for another reason stays so until somebody mends it; a
        job that waited for that would let the database grow.
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
        """Look again until two looks agree on which jails are gone, or there is no time for more."""
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
        """Read once; log a trouble, and its end."""
        try:
            reading = await source.banned(int(run.clock.now()), run.time_left() * SHARE)
        except StoreError as error:
            what, where = error.problem, error.path
            self._unreadable.tell((where, what), database=where, problem=what, advice=error.advice)
            return error
        self._unreadable.is_over(banned=len(reading.banned.addresses))
        return reading
