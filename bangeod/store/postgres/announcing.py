"""Telling other daemons which addresses this one has changed or deleted, soon after that is committed.

A notice that can't be sent waits for the next one: an address that nobody was told of is still found in its row.
"""

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from bangeod.addresses import AddressKind, read_address
from bangeod.errors import StoreError
from bangeod.store.postgres import notices, queries
from bangeod.store.postgres.session import Session

if TYPE_CHECKING:
    from bangeod.clock import Clock

CHANNEL: Final = "bangeod_geo_cache"  # of one database, whichever schema the tables are in
MANY: Final = 20_000  # addresses that don't wait for more: some 40 notices
SOON: Final = 0.2  # seconds that the first of them waits for others at most
MOST: Final = 100_000  # addresses that wait; beyond them none is added

_SPELLED: Final = re.compile(r"(?>[0-9A-Fa-f:.]{2,45} )*+")  # addresses, or not much longer than one


class Announcer:
    """Collects addresses, and sends them in few statements by the session that writes. Belongs to one event loop."""

    def __init__(self, session: Session, clock: "Clock") -> None:
        self._session = session
        self._clock = clock
        self._waiting: dict[str, None] = {}
        self._since = 0.0  # monotonic

    def add(self, ips: Collection[str]) -> None:
        """Note addresses; of more than may wait nobody is told."""
        if not self._waiting:
            self._since = self._clock.monotonic()
        if len(self._waiting) < MOST:
            self._waiting.update(dict.fromkeys(ips))

    def add_keys(self, keys: Collection[str]) -> None:
        """Note addresses as the table has them, which whoever hears of them reads; what is none is nobody's concern."""
        if _SPELLED.fullmatch(f"{' '.join(keys)} "):
            self.add(keys)
        else:
            self.add([ip for kind, ip in map(read_address, keys) if kind is AddressKind.GLOBAL])

    async def send_if_due(self) -> None:
        """Send what is waiting, if that is much, or for long."""
        if len(self._waiting) >= MANY or (self._waiting and self._clock.monotonic() - self._since >= SOON):
            await self.send()

    async def send(self) -> None:
        """Send what is waiting. Never raises StoreError."""
        if not self._waiting:
            return
        sent, self._waiting = self._waiting, {}
        values = {"channel": CHANNEL, "payloads": notices.payloads(sent)}
        try:
            await self._session.run(queries.NOTIFY, values)
        except StoreError:
            self._waiting = sent | self._waiting
