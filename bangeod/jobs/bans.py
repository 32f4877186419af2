"""Who is banned now, as far as the jobs want to know. No answer is never a reason to fail."""

from typing import Final, Protocol

import structlog

from bangeod.errors import StoreError
from bangeod.jobs.job import Run

log = structlog.get_logger(__name__)

SHARE: Final = 0.25  # of the time that a run has left: the rest is for the work, which goes on without an answer too


class BanSource(Protocol):
    """fail2ban's own database."""

    async def banned(self, now: int, within: float) -> frozenset[str]:
        """Return the canonical addresses that are banned at ``now`` (seconds since the epoch).

        Raises StoreError where that can't be read, or not within so many seconds.
        """


class BanWatch:
    """What the jobs ask. One that they share tells a trouble once, and its end; ``source`` may be put in its place."""

    def __init__(self, source: BanSource | None = None) -> None:
        self.source = source
        self._told: tuple[str, str] | None = None  # the path and what is wrong with it

    async def banned_now(self, run: Run) -> frozenset[str]:
        """Return who is banned; nobody where there is no source, or (with a warning) where it can't be read."""
        if self.source is None:
            self._told = None
            return frozenset()
        try:
            banned = await self.source.banned(int(run.clock.now()), run.time_left() * SHARE)
        except StoreError as error:
            self._tell(error)
            return frozenset()
        if self._told is not None:
            log.info("fail2ban_recovered", banned=len(banned))
            self._told = None
        return banned

    def _tell(self, error: StoreError) -> None:
        trouble = (error.path, error.problem)
        say = log.debug if trouble == self._told else log.warning
        say("fail2ban_unreadable", database=error.path, problem=error.problem, advice=error.advice)
        self._told = trouble
