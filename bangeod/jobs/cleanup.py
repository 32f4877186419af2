"""Deleting rows for the cleanup jobs: slice by slice while there is time, with figures and warnings."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final

from bangeod.jobs.job import Run
from bangeod.jobs.kept_rows import KeptRows
from bangeod.store.port import Census, Deleted, Refusal

ON_REFUSAL: Final = (
    "look at the triggers of this table and at the foreign keys that refer to it; "
    "where such rows are meant to stay, nothing is to be done"
)


class DeletionFigures:
    """The figures of one deletion from ``table``, by the age in ``column``."""

    def __init__(self, table: str, column: str) -> None:
        self._where = {"table": table, "column": column}
        self.deleted = 0
        self.matching = 0
        self.unreadable = 0
        self._example: str | None = None
        self._refused = 0
        self._refusal: Refusal | None = None

    def add(self, step: Deleted) -> None:
        """Add the figures of a slice."""
        self.deleted += len(step.keys)
        self.unreadable += step.unreadable
        self._example = self._example or step.example
        self._refused += step.refused
        self._refusal = self._refusal or step.refusal

    def count(self, census: Census) -> None:
        """Take over the figures that a dry run found."""
        self.matching, self.unreadable, self._example = census

    def refused(self) -> dict[str, int]:
        """Return the number of rows that the database refused to delete, if there are any."""
        return {"refused": self._refused} if self._refused else {}

    def warn(self, kept: KeptRows, run: Run, *, complete: bool) -> None:
        """Log, if it is news, that rows stay: their time can't be read, or the database refuses to delete them.

        ``complete``: all rows were seen.
        """
        kept.tell(
            "unreadable_times_kept",
            "unreadable_times_gone",
            run,
            self.unreadable,
            example=self._example,
            where=self._where,
            complete=complete,
        )
        refusal = self._refusal
        kept.tell(
            "rows_not_deleted",
            "rows_not_deleted_gone",
            run,
            self._refused,
            example=refusal and refusal.key,
            where={"table": self._where["table"]},
            complete=complete,
            problem=refusal and refusal.problem,
            advice=ON_REFUSAL,
        )


async def carry_out(
    deletion: AsyncGenerator[Deleted, None],
    tally: DeletionFigures,
    run: Run,
    on_deleted: Callable[[Sequence[str]], None] = lambda _keys: None,
) -> bool:
    """Delete slice by slice while there is time; return whether everything was deleted."""
    async with aclosing(deletion):
        async for step in deletion:
            tally.add(step)
            on_deleted(step.keys)
            if run.time_left() <= 0:
                return False
    return True
