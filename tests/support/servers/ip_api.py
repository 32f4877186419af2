"""A strict stand-in for ip-api.com's batch endpoint, on loopback: it keeps its own books and notes every offence.

Its limits are those of ip-api.com's documentation: 15 requests in a window of 60 s, counted from the first; 429
above, and the one who goes on is banned.
"""

import asyncio
import json
from collections import deque
from typing import Final
from urllib.parse import urlsplit

from bangeod.clock import Clock
from tests.support.servers.ip_api_rules import judge_addresses
from tests.support.servers.loopback import LoopbackServer, Reply, Request, read_request, respond, until_hangup

WINDOW: Final = 60.0
BAN: Final = 3600.0
FIELDS: Final = {"status", "message", "country", "countryCode", "as", "org", "query"}


class Pauses:
    """A pause store in memory; it notes what was saved."""

    def __init__(self, until: float | None = None) -> None:
        self.until = until
        self.saved: list[float | None] = []
        self.broken = False

    def load_pause(self) -> float | None:
        return self.until

    async def save_pause(self, until: float | None) -> None:
        if self.broken:
            raise OSError(28, "No space left on device")
        self.until = until
        self.saved.append(until)


class IpApiServer(LoopbackServer):
    """Listens while it is entered. ``script`` holds replies for the requests to come, before the usual ones."""

    def __init__(self, clock: Clock, *, limit: int = 15, tells: bool = True) -> None:
        super().__init__()
        self.known: dict[str, dict[str, str]] = {}  # what it answers, by address; "fail" for the others
        self.script: deque[Reply] = deque()
        self.offences: list[str] = []
        self.offending = 0  # requests that were an offence
        self.requests: list[Request] = []
        self.times: list[float] = []  # monotonic, when each request was there
        self._arrived = asyncio.Event()
        self._clock = clock
        self._limit = limit
        self._tells = tells  # sends X-Rl and X-Ttl
        self._window_start = float("-inf")
        self._in_window = 0
        self._closed_until = float("-inf")
        self._in_flight = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/batch"

    def close_for(self, seconds: float) -> None:
        """Count every request within this time as an offence."""
        self._closed_until = max(self._closed_until, self._clock.monotonic() + seconds)

    def reopen(self) -> None:
        """Count requests as offences no more: the test has let the time pass that they were forbidden for."""
        self._closed_until = float("-inf")
        self._window_start = float("-inf")

    def with_pause(self, reply: Reply, seconds: float) -> Reply:
        """Reply so, and count what comes within this time as an offence."""

        async def closing(request: Request, writer: asyncio.StreamWriter) -> None:
            self.close_for(seconds)
            await reply(request, writer)

        return closing

    async def arrival(self) -> None:
        """Wait for the next request to come in."""
        await asyncio.wait_for(self._arrived.wait(), 60)
        self._arrived.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        self.requests.append(request)
        self.times.append(self._clock.monotonic())
        self._in_flight += 1
        offences = len(self.offences)
        try:
            self._judge(request)
            self._arrived.set()
            over = self._count()
            self.offending += len(self.offences) > offences
            reply = self.script.popleft() if self.script else self._limited if over else self.answer
            await until_hangup(asyncio.create_task(reply(request, writer)), reader)
        finally:
            self._in_flight -= 1

    def _judge(self, request: Request) -> None:
        if self._in_flight > 1:
            self.offences.append("a second request while one is in flight")
        if self._clock.monotonic() < self._closed_until:
            self.offences.append("a request while none may be sent")
        if request.method != "POST" or urlsplit(request.target).path != "/batch":
            self.offences.append(f"{request.method} {request.target}")
        if request.headers.get("content-type") != "application/json":
            self.offences.append("the content is not said to be JSON")
        if set(",".join(request.query.get("fields", [])).split(",")) != FIELDS:
            self.offences.append(f"fields {request.query.get('fields')}")
        self.offences += judge_addresses(request.body)

    def _count(self) -> bool:
        now = self._clock.monotonic()
        if now >= self._window_start + WINDOW:
            self._window_start = now
            self._in_window = 0
        self._in_window += 1
        if self._in_window >= self._limit:
            self.close_for(self._window_start + WINDOW - now)
        if self._in_window > self._limit:
            self.offences.append("more requests than the limit")
        return self._in_window > self._limit

    def quota(self) -> dict[str, str]:
        """Return the headers that tell what is left."""
        if not self._tells:
            return {}
        left = max(0, self._limit - self._in_window)
        return {"X-Rl": str(left), "X-Ttl": str(int(self._window_start + WINDOW - self._clock.monotonic()))}

    async def _limited(self, request: Request, writer: asyncio.StreamWriter) -> None:
        await respond(429, self.quota())(request, writer)

    async def answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        """Reply with what is known, and what is left of the limit."""
        # Last one first: the order of the answers says nothing.
        items = [self.item(ip) for ip in reversed(request.asked)]
        await respond(200, self.quota(), json.dumps(items).encode())(request, writer)

    def item(self, ip: str) -> dict[str, str]:
        """Return the element about an address."""
        if ip in self.known:
            return {"status": "success", "query": ip} | self.known[ip]
        return {"status": "fail", "message": "reserved range", "query": ip}

    def refuse(self) -> Reply:
        """Reply 403, and count what comes within the hour as an offence."""
        return self.with_pause(respond(403), BAN)

    def limit_passed(self, seconds: int | None) -> Reply:
        """Reply 429 with this X-Ttl, and count what comes before as an offence."""
        headers = {} if seconds is None else {"X-Ttl": str(seconds)}
        return self.with_pause(respond(429, headers), WINDOW if seconds is None else seconds)
