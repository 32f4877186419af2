"""Fast JSON for entries: the part that all addresses of one place have in common is written once and kept."""

from collections.abc import Sequence
from typing import Final

import msgspec

from bangeod.api.messages import entry_of, traced
from bangeod.cooperative import yielding
from bangeod.model import Answer, Geo, Origin

AT_ONCE: Final = 500  # answers written before other tasks get a turn
MOST_KEPT: Final = 100_000  # places
_MEMORY: Final = Origin.MEMORY
_HEAD: Final = '{"ip":"'

_encode: Final = msgspec.json.Encoder().encode


class EntryWriter:
    """Writes answers as JSON and counts them by source; fast for known places. Used on the event loop only."""

    def __init__(self, lookups: dict[str, int]) -> None:
        self._lookups = lookups
        self._tails: dict[Geo, str] = {}

    async def batch(self, answers: Sequence[Answer], *, origin: bool) -> bytes:
        """Write the answer to a batch in parts: writing it in one go would stop the event loop for too long."""
        write = self._traced if origin else self.part
        parts = [write(some) async for some in yielding(answers, AT_ONCE)]
        return b'{"entries":[%s]}' % b",".join(parts)

    def part(self, answers: Sequence[Answer]) -> bytes:
        """Write answers as entries, separated by commas."""
        tails, written, others = self._tails, [], 0
        for answer in answers:
            if answer.origin is _MEMORY:  # so its text is an address and needs no escaping
                geo = answer.geo
                written.append(_HEAD + answer.ip + (tails.get(geo) or self._tail(geo, answer)))
            else:
                written.append(_encode(entry_of(answer)).decode())
                self._count(answer.origin or answer.status, 1)
                others += 1
        self._count(_MEMORY, len(answers) - others)
        return ",".join(written).encode()

    def _tail(self, geo: Geo, answer: Answer) -> str:
        """Return the JSON after the address, the same for all entries of a place, and keep it."""
        if len(self._tails) >= MOST_KEPT:
            self._tails.clear()
        tail = _encode(entry_of(answer)).decode()[len(_HEAD) + len(answer.ip) :]
        self._tails[geo] = tail
        return tail

    def _traced(self, answers: Sequence[Answer]) -> bytes:
        for answer in answers:
            self._count(answer.origin or answer.status, 1)
        return _encode([traced(answer) for answer in answers])[1:-1]

    def _count(self, source: str, count: int) -> None:
        self._lookups[source] = self._lookups.get(source, 0) + count
