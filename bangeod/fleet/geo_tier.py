"""The fleet as a source of countries: asked in time or not at all.

A question that takes longer than a lookup may wait is not cancelled, which would have to wait for the server as well:
it goes on beside, what it finds is kept for the next lookup, and meanwhile nothing else is asked.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

from bangeod.errors import StoreError
from bangeod.fleet import geo_rows, statements
from bangeod.fleet.fleet import Fleet, give_up
from bangeod.fleet.geo_rows import EVIDENCE, OddRow
from bangeod.fleet.outbox import Finding, Outbox
from bangeod.fleet.sharing import Sharing
from bangeod.model import Geo, Origin
from bangeod.store.postgres.connection import Backoff
from bangeod.trouble import Trouble

BATCH: Final = 500  # addresses in one statement
MOST_KEPT: Final = 100_000  # addresses that others have told of, and nobody has asked about here
TELLING: Final = 3  # questions in a row that took too long are worth telling: a single one may have had to connect
MOST_ODD: Final = 10_000  # odd rows that are remembered as said
SHARED_AFTER: Final = 0.5  # seconds; what is found by then goes with it: others are to know it within a second
WATCH_EVERY: Final = 10.0  # seconds between two looks whether the server answers


class GeoTier:
    """Asks the fleet, keeps what others have told of, and notes what is to be told to them. Raises nothing.

    ``most_waiting`` bounds what waits to be told; ``sleep`` takes seconds. Belongs to one event loop.
    """

    def __init__(
        self, fleet: Fleet, *, most_waiting: int, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._fleet = fleet
        self._sleep = sleep
        self._clock = fleet.clock
        self.outbox = Outbox(most_waiting)
        self.sharing = Sharing(fleet, self.outbox)
        self._kept: OrderedDict[str, Geo] = OrderedDict()
        self._backoff = Backoff()
        self._asking: set[asyncio.Task[bool]] = set()
        self._late: dict[asyncio.Task[bool], float] = {}  # since when, in monotonic seconds
        self._slow_in_row = 0
        self._slow = Trouble("fleet_slow", repeats=False)
        self._odd = Trouble("fleet_row_odd", repeats=False)
        self._said: set[tuple[str, str]] = set()  # odd rows, by address and writer
        self._has_found = asyncio.Event()
        self.answered = 0  # addresses, since the start

    # --- asking ---

    async def find(self, ips: Sequence[str]) -> Mapping[str, Geo]:
        """Return where addresses are, of those that others know and tell in time."""
        found = {ip: self._kept[ip] for ip in ips if ip in self._kept}
        missing = [ip for ip in ips if ip not in found]
        if missing and self._may_ask():
            found |= await self._in_time(missing)
        self.answered += len(found)
        return found

    def _may_ask(self) -> bool:
        return not self._late and self._backoff.may_try(self._clock.monotonic())

    async def _in_time(self, ips: Sequence[str]) -> dict[str, Geo]:
        answers: dict[str, Geo] = {}
        asking = self._begin(ips, answers)
        try:
            await asyncio.wait({asking}, timeout=self._fleet.timeout)
        finally:
            if not asking.done():
                self._is_late(asking, answers)
        if not asking.done():
            self._backoff.failed(self._clock.monotonic())
            self._tell_slow()
        elif asking.result():
            self._backoff.succeeded()
            self._slow_in_row = 0
        else:
            self._backoff.failed(self._clock.monotonic())
        return dict(answers)

    def _begin(self, ips: Sequence[str], answers: dict[str, Geo]) -> "asyncio.Task[bool]":
        asking = asyncio.get_running_loop().create_task(self._ask(ips, answers), name="ask the fleet")
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)
        return asking

    async def _ask(self, ips: Sequence[str], answers: dict[str, Geo]) -> bool:
        """Read rows, a batch at a time; say whether the server answered. Once it is late, only what has begun."""
        own = asyncio.current_task()
        try:
            for start in range(0, len(ips), BATCH):
                answers |= await self._read(ips[start : start + BATCH])
                if own in self._late:
                    break
            if not ips:
                await self._fleet.read(statements.MAY_FIND_PLACES)
        except StoreError:  # logged by the fleet
            return False
        return True

    async def _read(self, ips: Sequence[str]) -> dict[str, Geo]:
        """Read one row of each address, and where that is odd those of other hosts."""
        places, odd = await self._rows(statements.FIND_PLACES, ips)
        if odd:
            more, odd = await self._rows(statements.FIND_MORE_PLACES, [row.ip for row in odd])
            places |= more
            self._tell_odd(odd)
        return places

    async def _rows(self, statement: str, ips: Sequence[str]) -> tuple[dict[str, Geo], list[OddRow]]:
        values = {"ips": list(ips), "longest": geo_rows.LONGEST}
        return geo_rows.read(await self._fleet.read(statement, values), ips)

    def _is_late(self, asking: "asyncio.Task[bool]", answers: Mapping[str, Geo]) -> None:
        """Let a question go on beside; what it finds is kept."""

        def ended(task: "asyncio.Task[bool]") -> None:
            self._late.pop(task, None)
            self._keep(answers)

        self._late[asking] = self._clock.monotonic()
        asking.add_done_callback(ended)

    def _tell_slow(self) -> None:
        self._slow_in_row += 1
        if self._slow_in_row == TELLING:
            self._slow.tell(
                problem=f"the fleet did not answer within {self._fleet.timeout * 1000:g} ms, three times in a row",
                advice="lookups go on without it; where they may wait longer, raise [fleet] timeout",
            )

    def _tell_odd(self, rows: Iterable[OddRow]) -> None:
        """Log rows that no daemon wrote: the first, and when they have become twice as many."""
        for row in rows:
            if (row.ip, row.writer) not in self._said and len(self._said) < MOST_ODD:
                self._said.add((row.ip, row.writer))
                self._odd.tell(
                    count=len(self._said),
                    rows=len(self._said),
                    **row._asdict(),
                    advice="it is passed over, and kept; the role that wrote it may delete it",
                )

    # --- what others tell of ---

    async def read_again(self, ips: Sequence[str]) -> Mapping[str, Geo]:
        """Return where addresses are that another host has written, and keep that for lookups; none if it can't say."""
        found: dict[str, Geo] = {}
        try:
            for start in range(0, len(ips), BATCH):
                found |= await self._read(ips[start : start + BATCH])
        except StoreError:  # logged by the fleet
            pass
        for ip in ips:
            self._kept.pop(ip, None)
        self._keep(found)
        return found

    def _keep(self, places: Mapping[str, Geo]) -> None:
        self._kept.update(places)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    # --- what others are told ---

    def found(self, ip: str, geo: Geo, origin: Origin, *, last_seen: int, resolved_at: int) -> None:
        """Let the fleet have what a source of this host's said, if it is evidence for others."""
        if origin in EVIDENCE:
            self.outbox.put(Finding(ip, geo, origin, last_seen, resolved_at))
            self._has_found.set()

    def seen(self, ip: str, last_seen: int) -> None:
        """Move ``last_seen`` of a row that this host wrote."""
        self.outbox.see(ip, last_seen)

    async def flush(self, time_left: Callable[[], float]) -> None:
        """Write what waits, or as much as the time allows."""
        await self.sharing.flush(time_left)

    async def keep_sharing(self) -> None:
        """Write what was found soon, and not only at the next flush, so that others know it; never returns.

        What could not be written waits for the flush.
        """
        while True:
            await self._has_found.wait()
            await self._sleep(SHARED_AFTER)
            self._has_found.clear()
            if self._fleet.problem is None:
                await self.sharing.flush(lambda: math.inf)

    async def delete_stale(self, before: int, time_left: Callable[[], float]) -> int:
        """Delete own rows that were not seen since ``before``, in epoch seconds; return how many."""
        return await self.sharing.delete_stale(before, time_left)

    # --- whether the server is there ---

    async def watch(self) -> None:
        """Connect, and see from time to time whether the server answers; never returns."""
        while True:
            if not self._late:
                await self._look()
            await self._sleep(WATCH_EVERY)
            now = self._clock.monotonic()
            if any(now - since >= WATCH_EVERY for since in self._late.values()):
                self._fleet.hangs(WATCH_EVERY)

    async def is_back(self) -> None:
        """Ask the server at once, which is known to be there, whatever the backoff says."""
        if not self._late:
            await self._fleet.retry()
            await self._look()

    async def _look(self) -> None:
        """See whether the server answers. A question that hangs is left to end by itself, as a lookup's is."""
        began = self._clock.monotonic()
        asking = self._begin((), {})
        try:
            await asyncio.wait({asking}, timeout=WATCH_EVERY)
        finally:
            if not asking.done():
                self._is_late(asking, {})
        if asking.done() and asking.result() and self._clock.monotonic() - began <= self._fleet.timeout:
            self._backoff.succeeded()

    async def close(self) -> None:
        """End what is still asked or written. A server that hangs is not waited for."""
        await self.sharing.close()
        await give_up(list(self._asking))
