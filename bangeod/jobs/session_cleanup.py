"""The job session_cleanup: deletes expired login sessions."""

from typing import Final

import structlog

from bangeod.clock import to_text
from bangeod.jobs.cleanup import DeletionFigures, carry_out
from bangeod.jobs.job import Counts, Declaration, JobId, Result, Run
from bangeod.jobs.kept_rows import KeptRows
from bangeod.store.port import Store

log = structlog.get_logger(__name__)

DECLARATION: Final = Declaration(
    JobId.SESSION_CLEANUP,
    "deletes expired login sessions",
    make=lambda tools, _settings: SessionCleanup(tools.store, kept=tools.kept),
    counts=Counts(deleted=("deleted_count",), unreadable=("unreadable",)),
    for_all=True,
)


class SessionCleanup:
    """Deletes expired sessions."""

    id = DECLARATION.id

    def __init__(self, store: Store, *, kept: KeptRows | None = None) -> None:
        self._store = store
        self._kept = kept or KeptRows()

    async def run(self, run: Run) -> Result:
        """Delete sessions whose ``expires_at`` is now or earlier; sessions whose time can't be read stay."""
        now = int(run.clock.now())
        tally = DeletionFigures("sessions", "expires_at")
        if run.dry:
            tally.count(await self._store.count_expired(now))
            return Result({"would_delete": tally.matching, "unreadable": tally.unreadable, "cutoff_time": to_text(now)})
        finished = await carry_out(self._store.delete_expired(now, time_left=run.time_left), tally, run)
        log.info("session_cleanup_ran", deleted_count=tally.deleted, cutoff_time=to_text(now))
        tally.warn(self._kept, run, complete=finished)
        counts = {"deleted_count": tally.deleted, "unreadable": tally.unreadable, **tally.refused()}
        return Result({**counts, "cutoff_time": to_text(now)}, finished)
