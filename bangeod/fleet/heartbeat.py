"""Each daemon says now and then that it is there, in bangeod.state, and sees which others are. Times are the server's.

Hosts whose clock differs from the server's are found out by that: a row has both times.
"""

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bangeod.errors import StoreError
from bangeod.fleet import statements
from bangeod.store.postgres.session import Session
from bangeod.trouble import Trouble

if TYPE_CHECKING:
    from bangeod.clock import Clock

EVERY: Final = 20.0  # seconds from one beat to the next; three make the minute within which a daemon counts as there
CLOCKS_APART: Final = 5.0  # seconds; less may be the time that a statement took


class Present(NamedTuple):
    """Who was there lately."""

    daemons: int  # this one included
    clocks: Mapping[str, float]  # by host, how many seconds its clock is ahead of the server's, where that is too much


class Heartbeat:
    """The beat of one daemon: ``instance`` tells it from others of its host. Belongs to one event loop."""

    def __init__(self, session: Session, clock: "Clock", *, host: str, instance: str) -> None:
        self._session = session
        self._clock = clock
        self._own = {"host": host, "name": f"{statements.DAEMON}{instance}"}
        self._clocks = Trouble("clocks_differ", "clocks_agree")
        self._is_tidied = False  # the rows of daemons that this host had once are removed
        self.present: Present | None = None  # as the last beat found it; None where there is no table, or no server

    async def beat(self) -> None:
        """Say that this daemon is there, and see who else is. Never raises StoreError: the jobs tell of the server."""
        try:
            self.present = await self._beat()
        except StoreError:
            self.present = None
        if self.present is None:
            return
        if clocks := self.present.clocks:
            apart = {host: round(seconds) for host, seconds in clocks.items()}
            advice = "set the clocks of these hosts, or the server's: timedatectl status"
            self._clocks.tell(frozenset(clocks), seconds=apart, advice=advice)
        else:
            self._clocks.is_over()

    async def _beat(self) -> Present | None:
        usable = await self._session.run(statements.MAY_USE_STATE, again=True)
        if not usable or not usable[0][1]:
            return None
        await self._session.run(statements.BEAT, {**self._own, "clock": f"{self._clock.now():.3f}"}, again=True)
        if not self._is_tidied:
            self._is_tidied = True
            with contextlib.suppress(StoreError):  # it may not be permitted to
                await self._session.run(statements.FORGET_OLD_DAEMONS, again=True)
        found = await self._session.run(statements.DAEMONS, again=True)
        return Present(len(found), _apart(found))

    async def leave(self) -> None:
        """Say that this daemon is there no more, and end the connection."""
        try:
            if self.present is not None:
                with contextlib.suppress(StoreError):
                    await self._session.run(statements.LEAVE, self._own)
        finally:
            self.present = None
            await self._session.close()


def _apart(found: Sequence[tuple[Any, ...]]) -> dict[str, float]:
    """Return the hosts whose clock is not the server's; each row has a host, its time as a text, and the server's."""
    apart: dict[str, float] = {}
    for host, said, at in found:
        try:
            difference = float(said or "") - float(at)
        except ValueError:  # written by somebody else
            continue
        if math.isfinite(difference) and abs(difference) > CLOCKS_APART:
            apart[host] = difference
    return apart
