"""Requests that trickle in, byte by byte, for as long as the daemon bears it: begun at once, waited for later."""

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bangeod.service.loop import LoopThread
from tests.api_host import Reply
from tests.faults.hostile import answers, drip
from tests.faults.siege import Siege
from tests.faults.soak import times
from tests.feed import DEADLINE

GET: Final = b"GET /v1/lookup/8.8.8.8 HTTP/1.1\r\n"
POST: Final = b"POST /v1/lookup HTTP/1.1\r\nHost: x\r\n"
CHUNKED: Final = POST + b"Transfer-Encoding: chunked\r\n\r\n"

Begun = tuple[tuple[bytes, bytes], ...]  # of each request, what comes at once and what trickles in

HEADERS: Final[Begun] = ((b"GET /", b"a"), (GET, b"X"), (GET + b"X: ", b"a"))
BODIES: Final[Begun] = (
    (POST + b"Content-Length: 1000000\r\n\r\n", b" "),
    (CHUNKED, b"1\r\n \r\n"),
    (CHUNKED + b"1;", b"a"),
)
HEADERS_OF_EACH: Final = times(25, 70)
BODIES_OF_EACH: Final = 8  # fewer than may be received at a time: above that the oldest is turned away


class Trickling:
    """The requests, on a loop of their own for as long as the ``with`` block lasts."""

    def __init__(self, siege: Siege) -> None:
        self.siege = siege
        self._loop = LoopThread()

    def __enter__(self) -> Self:
        self._loop.__enter__()
        self._headers = self._loop.submit(_all(self.siege.path, HEADERS, HEADERS_OF_EACH))
        self._bodies = self._loop.submit(_all(self.siege.path, BODIES, BODIES_OF_EACH))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.__exit__(kind, error, trace)

    def headers(self) -> list[Reply]:
        """Return what was answered to the headers, when the daemon has hung up on all of them."""
        return _replies(self._headers.result(2 * DEADLINE))

    def bodies(self) -> list[Reply]:
        """Return what was answered to the bodies, when the daemon has hung up on all of them."""
        return _replies(self._bodies.result(2 * DEADLINE))


async def _all(path: Path, requests: Begun, count: int) -> list[bytes]:
    return await asyncio.gather(*(drip(path, head, piece) for head, piece in requests for _ in range(count)))


def _replies(answered: list[bytes]) -> list[Reply]:
    return [reply for answer in answered for reply in answers(answer)]
