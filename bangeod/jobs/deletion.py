"""What both cleanups do with a store's deletion: go on while there is time, count, warn once."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

import structlog

from bangeod.jobs.job import Run
from bangeod.store.port import Census, Deleted

log = structlog.get_logger(__name__)


class Tally:
    """The figures of one deletion from ``table`` by the age in ``column``."""

    def __init__(self, table: str, column: str) -> None:
        self._where = {"table": table, "column": column}
        self.deleted = 0
        self.matching = 0
        self.unreadable = 0
        self._example: str | None = None

    def add(self, step: Deleted) -> None:
        """Take in a slice."""
        self.deleted += len(step.keys)
        self.unreadable += step.unreadable
        self._example = self._example or step.example

    def count(self, census: Census) -> None:
        """Take in what a dry run found."""
        self.matching, self.unreadable, self._example = census

    def warn(self) -> None:
        """Say, once a run, that rows stay because their time can't be read."""
        if self.unreadable:
            log.warning("unreadable_times_kept", **self._where, rows=self.unreadable, example=self._example)


async def carry_out(
    deletion: AsyncGenerator[Deleted, None],
    tally: Tally,
    run: Run,
    on_deleted: Callable[[Sequence[str]], None] = lambda _keys: None,
) -> bool:
    """Delete slice by slice while there is time; return whether all was deleted."""
    async with aclosing(deletion):
        async for step in deletion:
            tally.add(step)
            on_deleted(step.keys)
            if run.time_left() <= 0:
                return False
    return True
