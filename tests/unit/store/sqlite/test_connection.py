"""What the gate of all writes says of a checkpoint that fails."""

import asyncio
from pathlib import Path

from structlog.testing import capture_logs

from bangeod.errors import StoreError, StoreFullError
from bangeod.store.sqlite.checkpoint import Checkpointed
from bangeod.store.sqlite.connection import SharedFile
from bangeod.store.sqlite.slicing import WriteGate
from tests.support.manual_clock import ManualClock

FULL = StoreFullError("/x.db", "the disk is full", "make room")


class FailingFile(SharedFile):
    """A file whose checkpoints end as they are told to."""

    def __init__(self, *ends: StoreError | None) -> None:
        super().__init__(Path("/x.db"), busy_timeout=1.0, clock=ManualClock())
        self._ends = list(ends)

    async def maintain(self, work: object) -> Checkpointed:  # type: ignore[override]
        end = self._ends.pop(0)
        if end is not None:
            raise end
        return Checkpointed(0, emptied=True, held=0.0)


async def test_a_checkpoint_that_goes_on_failing_is_said_once_and_then_its_end() -> None:
    gate = WriteGate(FailingFile(FULL, FULL, None, None), ManualClock())
    with capture_logs() as lines:
        for _ in range(4):
            await gate.finish()
            await asyncio.sleep(0)
    assert [line["event"] for line in lines] == ["checkpoint_failed", "checkpoint_recovered"]
