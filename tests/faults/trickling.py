"""Requests that trickle in, byte by byte, for as long as the daemon bears it: begun at once, waited for later."""

import asyncio
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

from bangeod.service.loop import LoopThread
from tests.faults.allowed import LITTLE
from tests.faults.hostile import answers, drip
from tests.faults.siege import Siege
from tests.faults.soak import times
from tests.support.daemon.api_host import Reply
from tests.support.feed import DEADLINE, eventually

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
ALL: Final = len(HEADERS) * HEADERS_OF_EACH + len(BODIES) * BODIES_OF_EACH


class Trickling:
    """The requests, on a loop of their own, and honest clients beside them, for as long as the ``with`` block lasts."""

    def __init__(self, siege: Siege) -> None:
        self._siege = siege
        self._stack = ExitStack()
        self.served: list[tuple[int, ...]] = []  # honest clients' answers: at first, and as each kind began to end

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._honest = stack.enter_context(self._siege.laid(LITTLE))
            loop = stack.enter_context(LoopThread())
            self._headers = loop.submit(self._all(HEADERS, HEADERS_OF_EACH))
            self._bodies = loop.submit(self._all(BODIES, BODIES_OF_EACH))
            eventually(lambda: self._siege.api()["connections"] > ALL, "all of them are connected")
            self.served.append(self._honest.answers())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def end(self) -> None:
        """Have nothing trickle in any more, and hold the daemon to all that it owes since it began."""
        self._stack.close()

    def headers(self) -> list[Reply]:
        """Return what was answered to the headers, when the daemon has hung up on all of them."""
        return _replies(self._headers.result(2 * DEADLINE))

    def bodies(self) -> list[Reply]:
        """Return what was answered to the bodies, when the daemon has hung up on all of them."""
        return _replies(self._bodies.result(2 * DEADLINE))

    async def _all(self, requests: Begun, each: int) -> list[bytes]:
        drips = [
            asyncio.ensure_future(drip(self._siege.path, head, piece)) for head, piece in requests for _ in range(each)
        ]
        await asyncio.wait(drips, return_when=asyncio.FIRST_COMPLETED)
        self.served.append(self._honest.answers())
        return await asyncio.gather(*drips)


def _replies(answered: list[bytes]) -> list[Reply]:
    return [reply for answer in answered for reply in answers(answer)]
