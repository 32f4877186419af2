"""Telling the fleet what this host's own sources found, at the flush; and taking back what is stale.

Rows are this host's own: nobody else changes them, and nobody else deletes them.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from bangeod.errors import StoreError, StoreRefusedError
from bangeod.fleet import outbox, statements
from bangeod.fleet.fleet import Fleet, give_up
from bangeod.fleet.outbox import Finding, Outbox
from bangeod.store.postgres import notices
from bangeod.trouble import Trouble

CHANNEL: Final = "bangeod_geo"
SLICE: Final = 1_000  # rows in one transaction: some ten milliseconds of the server's
DELETED_AT_ONCE: Final = 1_000  # rows
LONGEST: Final = 5.0  # seconds for a flush; the rest waits for the next one


class Sharing:
    """Writes what waits in ``outbox``. Raises nothing; belongs to one event loop."""

    def __init__(self, fleet: Fleet, outbox: Outbox) -> None:
        self._fleet = fleet
        self._outbox = outbox
        self._writing: asyncio.Task[None] | None = None
        self._refused = Trouble("fleet_row_refused")
        self.shared = 0  # rows written, since the start
        self.last_success: float | None = None  # seconds since the epoch: the last time that nothing was left waiting

    async def flush(self, time_left: Callable[[], float]) -> None:
        """Write what waits, or as much as the time allows. A server that hangs is left alone until it goes on."""
        within = min(time_left(), LONGEST)
        if self._writing is not None or not self._outbox or within <= 0:
            return
        ends = self._fleet.clock.monotonic() + within
        writing = self._writing = asyncio.get_running_loop().create_task(self._write(ends), name="share")
        writing.add_done_callback(self._ended)
        await asyncio.wait({writing}, timeout=within)

    def _ended(self, writing: "asyncio.Task[None]") -> None:
        self._writing = None
        if not writing.cancelled():
            writing.result()  # raises what is a bug

    async def _write(self, ends: float) -> None:
        """Write until nothing waits any more, or until ``ends``, in monotonic seconds."""
        clock = self._fleet.clock
        try:
            while (findings := self._outbox.first(SLICE)) and clock.monotonic() < ends:
                await self._share(findings)
            while (seen := self._outbox.first_seen(SLICE)) and clock.monotonic() < ends:
                values: dict[str, object] = {"ip": [ip for ip, _ in seen], "seen": [str(at) for _, at in seen]}
                await self._fleet.write(statements.SEE_PLACES, values)
                self._outbox.done_seen(seen)
        except StoreError:  # logged; it is tried again at the next flush
            return
        if not self._outbox:
            self.last_success = clock.now()

    async def _share(self, findings: Sequence[Finding]) -> None:
        payloads = notices.payloads(each.ip for each in findings)
        values = {**outbox.columns(findings), "payloads": payloads, "channel": CHANNEL}
        try:
            rows = await self._fleet.write(statements.SHARE_PLACES, values)
        except StoreRefusedError as error:
            if len(findings) > 1:
                middle = len(findings) // 2
                await self._share(findings[:middle])
                await self._share(findings[middle:])
                return
            self._refused.tell(error.problem, ip=findings[0].ip, **error.log_fields())
        else:
            self.shared += int(rows[0][0]) if rows else 0
        self._outbox.done(findings)

    async def delete_stale(self, before: int, time_left: Callable[[], float]) -> int:
        """Delete own rows not seen since ``before`` (epoch seconds), in slices; return how many."""
        deleted = 0
        values = {"before": before, "limit": DELETED_AT_ONCE}
        try:
            while time_left() > 0:
                rows = await self._fleet.write(statements.DELETE_STALE_PLACES, values)
                deleted += len(rows)
                if len(rows) < DELETED_AT_ONCE:
                    break
        except StoreError:  # logged; it is tried again at the next cleanup
            pass
        return deleted

    async def close(self) -> None:
        """End a write that is still going on."""
        if self._writing is not None:
            await give_up([self._writing])
