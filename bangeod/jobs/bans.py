"""Who is banned now, as far as the jobs want to know. No answer is never a reason to fail."""

from typing import Protocol

import structlog

from bangeod.errors import StoreError

log = structlog.get_logger(__name__)


class BanSource(Protocol):
    """fail2ban's own database."""

    async def banned(self, now: int) -> frozenset[str]:
        """Return the canonical addresses that are banned at ``now`` (seconds since the epoch).

        Raises StoreError where that can't be read.
        """


async def banned_now(source: BanSource | None, now: int) -> frozenset[str]:
    """Return who is banned; nobody where there is no source, or (with a warning) where it can't be read."""
    if source is None:
        return frozenset()
    try:
        return await source.banned(now)
    except StoreError as error:
        log.warning("fail2ban_unreadable", database=error.path, problem=error.problem, advice=error.advice)
        return frozenset()
