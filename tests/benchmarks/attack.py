"""What must not keep honest clients from being served: garbage, half-open requests and huge bodies, without a pause.

python -m tests.benchmarks.attack SOCKET CONNECTIONS SECONDS; prints how much of each there was, as JSON.
SIGTERM ends it before its time.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable

CHUNK = 1 << 16
POST = b"POST /v1/lookup HTTP/1.1\r\nHost: x\r\n"


async def garbage() -> AsyncIterator[bytes]:
    """Send what is no HTTP."""
    yield os.urandom(1_000) + b"\r\n\r\n"


async def half_a_header() -> AsyncIterator[bytes]:
    """Begin a request, and leave it at that."""
    yield b"GET /v1/lookup/8.8.8.8 HTTP/1.1\r\nHo"


async def half_a_body() -> AsyncIterator[bytes]:
    """Begin a body that may be, and leave it at that."""
    yield POST + b"Content-Length: 1000000\r\n\r\n" + b" " * 500_000


async def huge_body() -> AsyncIterator[bytes]:
    """Send a body that is announced as far too large."""
    yield POST + b"Content-Length: 99999999999\r\n\r\n"
    while True:
        yield b" " * CHUNK


async def endless_body() -> AsyncIterator[bytes]:
    """Send a body of unknown length that never ends."""
    yield POST + b"Transfer-Encoding: chunked\r\n\r\n"
    while True:
        yield b"%x\r\n%s\r\n" % (CHUNK, b" " * CHUNK)


KINDS: tuple[Callable[[], AsyncIterator[bytes]], ...] = (garbage, half_a_header, half_a_body, huge_body, endless_body)


async def attack(path: str, kind: Callable[[], AsyncIterator[bytes]], counts: Counter[str]) -> None:
    """Connect, send, wait until the other end closes; again and again."""
    while True:
        try:
            reader, writer = await asyncio.open_unix_connection(path)
        except OSError:
            counts["refused"] += 1
            await asyncio.sleep(0)
            continue
        counts[kind.__name__] += 1
        try:
            with contextlib.suppress(OSError):
                async for piece in kind():
                    writer.write(piece)
                    await writer.drain()
                while await reader.read(CHUNK):
                    pass
        finally:
            writer.transport.abort()


async def main(path: str, connections: int, seconds: float) -> None:
    """Attack for so long, or until told to end."""
    counts: Counter[str] = Counter()
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    attackers = [asyncio.create_task(attack(path, KINDS[n % len(KINDS)], counts)) for n in range(connections)]
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(told.wait(), seconds)
    for attacker in attackers:
        attacker.cancel()
    await asyncio.gather(*attackers, return_exceptions=True)
    print(json.dumps(counts))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
