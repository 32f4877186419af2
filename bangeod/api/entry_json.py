"""Fast JSON for entries: the part that all addresses of one place have in common is written once and kept."""

from collections.abc import Sequence
from typing import Final

import msgspec

from bangeod.api.backend import Lookups
from bangeod.api.messages import entry_of, traced
from bangeod.cooperative import yielding
from bangeod.model import Answer, Geo, Origin, Status

AT_ONCE: Final = 500  # answers written before other tasks get a turn
_MEMORY: Final = Origin.MEMORY
_HEAD: Final = '{"ip":"'

_encode: Final = msgspec.json.Encoder().encode


class _Known(msgspec.Struct, gc=False):
    """What an ``Entry`` has after its address, in the same order."""

    status: Status
    country_code: str | None
    country_name: str | None
    asn: str | None
    org: str | None


class EntryWriter:
    """Writes answers as JSON and counts them by source; fast for what memory knows. Used on the event loop only."""

    def __init__(self, lookups: dict[str, int]) -> None:
        self._lookups = lookups

    async def known(self, cache: Lookups, ips: Sequence[str]) -> list[str | Answer]:
        """Return what memory knows of each address, as text where it has a country."""
        answers: list[str | Answer] = []
        async for some in yielding(ips, AT_ONCE):
            answers += self.known_now(cache, some)
        return answers

    def known_now(self, cache: Lookups, ips: Sequence[str]) -> list[str | Answer]:
        """Return the same for few addresses."""
        # What memory knows is an address, so the text that was asked about needs no escaping.
        tails = cache.lookup_written(ips, _tail)
        return [_HEAD + ip + tail if isinstance(tail, str) else tail for ip, tail in zip(ips, tails, strict=True)]

    async def batch(self, answers: Sequence[str | Answer]) -> bytes:
        """Write the answer to a batch in parts: writing it in one go would stop the event loop for too long."""
        return _batch([self.part(some) async for some in yielding(answers, AT_ONCE)])

    async def traced_batch(self, answers: Sequence[Answer]) -> bytes:
        """Write the same with the source of each entry."""
        return _batch([self._traced(some) async for some in yielding(answers, AT_ONCE)])

    def part(self, answers: Sequence[str | Answer]) -> bytes:
        """Write answers as entries, separated by commas."""
        written = [answer if isinstance(answer, str) else self._other(answer) for answer in answers]
        self._count(_MEMORY, len(answers))
        return ",".join(written).encode()

    def _other(self, answer: Answer) -> str:
        """Write an answer that memory did not know, or that is no address; ``part`` counts all as memory's."""
        self._count(_MEMORY, -1)
        self._count(answer.origin or answer.status, 1)
        return _encode(entry_of(answer)).decode()

    def _traced(self, answers: Sequence[Answer]) -> bytes:
        for answer in answers:
            self._count(answer.origin or answer.status, 1)
        return _encode([traced(answer) for answer in answers])[1:-1]

    def _count(self, source: str, count: int) -> None:
        self._lookups[source] = self._lookups.get(source, 0) + count


def _tail(geo: Geo) -> str:
    """Return the JSON after the address, the same for all entries of a place."""
    return '",' + _encode(_Known(Status.RESOLVED, *geo)).decode()[1:]


def _batch(parts: Sequence[bytes]) -> bytes:
    return b'{"entries":[%s]}' % b",".join(parts)
