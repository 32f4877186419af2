"""Whose turn it is to ask ip-api.com, and about which addresses: what several hosts settle with each other first.

``Turns`` is the protocol; its implementation for a fleet is above (fleet/ip_api_turns.py). ``Alone`` is for a host that
has nobody to ask.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from bangeod.geo.sources.ip_api.answer import Quota
from bangeod.geo.sources.ip_api.limit import Reason

UNKNOWN_FOR: Final = 600.0  # seconds until an address that nobody knows is asked about again, the first time

UnknownFor = Callable[[str], float]  # seconds until an address is asked about again, should nobody know it now


def usual(_ip: str) -> float:
    """Return the wait of an address that was not asked about before."""
    return UNKNOWN_FOR


class Turn(NamedTuple):
    """A turn: these addresses may be asked about now, by one request within so many seconds.

    Or none may be sent: then there is a ``wait`` until it is worth another try, and the reason.
    """

    ips: Sequence[str] = ()
    seconds: float = math.inf
    wait: float = 0.0
    reason: Reason = Reason.SHARED


class Outcome(NamedTuple):
    """What came of a request, as far as others go by it; of a failed one nothing but perhaps the quota."""

    found: frozenset[str] = frozenset()  # whose country is known now
    unknown: Mapping[str, float] = {}  # seconds until they are asked about again
    quota: Quota = Quota()
    is_counted: bool = False  # it was answered, so it was one of its window, whether the quota says so or not
    pause: float = 0.0  # seconds for which ip-api.com wants nothing from this public address


class Turns(Protocol):
    """What a client does before and after each request. One request at a time; nothing here raises."""

    async def claimed(self, ips: Sequence[str]) -> Collection[str]:
        """Return those that another asks about now, or has asked lately; none where that can't be told."""

    async def take(self, ips: Sequence[str], most: int) -> Turn:
        """Take the turn, and claim so many of these addresses at most, the first ones that nobody has claimed.

        Of a turn without addresses, nothing is left behind.
        """

    async def finish(self, outcome: Outcome) -> None:
        """End the turn by what came of the request. Addresses that the outcome does not name may be asked about again.

        What can't be told now is told later.
        """

    def break_off(self) -> None:
        """End the turn, if one is taken or being taken, without an outcome: nobody waits for it, or nothing was sent.

        If it has ended already, what it found is lost: its addresses may be asked about again.
        """

    async def settle(self) -> None:
        """Tell what could not be told yet; to be called now and then."""

    async def close(self) -> None:
        """Tell what could not be told yet, if that is quick, and close the connection."""


class Alone:
    """The turns of a host that shares nothing with others: it is always its turn."""

    async def claimed(self, ips: Sequence[str]) -> Collection[str]:  # noqa: ARG002 - nobody claims anything
        return ()

    async def take(self, ips: Sequence[str], most: int) -> Turn:
        return Turn(ips[:most])

    async def finish(self, outcome: Outcome) -> None:
        pass

    def break_off(self) -> None:
        pass

    async def settle(self) -> None:
        pass

    async def close(self) -> None:
        pass
