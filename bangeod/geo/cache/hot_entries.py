"""The hot entries: what is written of addresses that were asked about lately, at hand without a look into the table.

Asking the packed table takes a microsecond and a half an address, this a tenth of one; but an entry takes a hundred
octets more, and its text two hundred where few share its place. So it is bounded, and begins anew twice a day.
"""

import math
from collections.abc import Sequence
from typing import Final

from bangeod.addresses import octets, text_of
from bangeod.clock import SECONDS_A_DAY

MOST: Final = 1 << 17  # entries: 13 MB in 8,000 places, 37 MB in 60,000
KEPT_FOR: Final = SECONDS_A_DAY // 2  # seconds


class HotEntries:
    """Texts by canonical address. Has no clock: times are seconds since the epoch, passed in.

    What is here was seen less than a day ago for as long as it is here, so its ``last_seen`` need not be moved.
    """

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._began = self._ends = -math.inf

    def get_all(self, ips: Sequence[str], now: int) -> list[str | None]:
        """Return the text of each address; None of those that are not here."""
        if not self._began <= now < self._ends:
            self.clear()
            self._began, self._ends = now, now + KEPT_FOR
        return list(map(self._texts.get, ips))

    def keep(self, ip: str, text: str, *, seen: int, now: int) -> None:
        """Keep the text of an address, if there is room and it was ``seen`` lately; ``ip`` is as it was asked about.

        Only under its canonical form, under which it is forgotten: all that is an IPv4 address is in that form.
        """
        if seen > now - KEPT_FOR and len(self._texts) < MOST and (":" not in ip or text_of(octets(ip)) == ip):
            self._texts[ip] = text

    def forget(self, address: bytes) -> None:
        """Forget the text of an address, given by its octets."""
        if self._texts:
            self._texts.pop(text_of(address), None)

    def clear(self) -> None:
        self._texts = {}
