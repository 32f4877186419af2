"""Reading for the jobs who is banned now, from fail2ban's database. A failure to read never makes a job fail."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from bangeod.banned import NOT_READ, Reading
from bangeod.errors import StoreError, StoreIncompleteError, StoreLockedError
from bangeod.jobs.disabled_jails import APART, DisabledJails
from bangeod.jobs.job import Run
from bangeod.trouble import Trouble

if TYPE_CHECKING:
    from bangeod.geo.cache.cache import GeoCache

SHARE: Final = 0.25  # of the time that a run has left; the rest is for the work, which goes on even without an answer
LOOKS: Final = 4  # at most, until two looks agree on the jails; with the pauses some 6 s


class BanCounts(NamedTuple):
    """How much is banned, and where the addresses are."""

    countries: Mapping[str, int]  # addresses, by the country's code
    without_country: int  # addresses
    networks: int


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
        self.counts: BanCounts | None = None  # of the last reading; None where there is nothing to read

    @property
    def is_read(self) -> bool:
        """Whether there is a database of fail2ban's to be read."""
        return self._source() is not None

    async def look(self, run: Run) -> Reading:
        """Return one reading of fail2ban's database; an empty one if there is no source, or if it can't be read.

        A reading that a lock or lack of time prevented is not ``complete``: there may be bans that nobody knows of, and
        the next look may find them. A source that can't be read for another reason stays so until somebody mends it; a
        job that waited for that would let the database grow.
        """
        source = self._source()
        if source is None:
            self._unreadable.forget()
            self.counts = None
            return NOT_READ
        answer = await self._ask(source, run)
        if isinstance(answer, StoreError):
            passes = isinstance(answer, StoreLockedError | StoreIncompleteError)
            self.counts = self.counts if passes else None
            return NOT_READ._replace(complete=not passes)
        return answer

    async def count(self, reading: Reading, cache: "GeoCache") -> None:
        """Count a reading's bans by country, by what is known of the addresses now: for the metrics.

        Nothing is counted of what could not be read.
        """
        if not reading.was_read:
            return
        countries: Counter[str | None] = Counter()
        async for places in cache.places_of(reading.banned.addresses):
            countries.update([None if place is None else place.country_code for place in places])
        without = countries.pop(None, 0)
        by_code = {code: number for code, number in countries.items() if code is not None}
        self.counts = BanCounts(by_code, without, len(reading.banned.networks))

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
