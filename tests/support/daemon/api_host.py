"""The API on a real socket, over a cache in memory: for tests of the server and of its clients."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from bangeod.api.daemon_state import (
    ApiState,
    CacheState,
    ConfigState,
    DatabaseState,
    IpApiState,
    JobState,
    SourcesState,
    State,
    Timestamp,
)
from bangeod.api.messages import Explanation, Place, Top, TopGroup, TopQuery
from bangeod.api.server import ApiServer
from bangeod.errors import BangeodError
from bangeod.geo.cache.resolver import Found
from bangeod.jobs.job import JobId, Outcome, Report
from bangeod.model import Origin, Status
from tests.support.fakes import GERMANY, World

CACHED = "8.8.8.8"
CACHED6 = "2001:4860:4860::8888"
BODY_END = b"\r\n\r\n"


class Backend:
    """A daemon that holds two addresses, and runs jobs as it is told to."""

    def __init__(self) -> None:
        self.world = World()
        self.cache = self.world.cache
        self.cache.adopt({ip: Found(GERMANY, Origin.MMDB) for ip in (CACHED, CACHED6)})
        self.wrong: str | None = None
        self.runs: list[tuple[JobId, bool]] = []
        self.counts: list[TopQuery] = []
        self.error: BaseException | None = None  # raised by whatever may raise
        self.gate = asyncio.Event()  # a run or a count ends once it is set
        self.gate.set()

    def current_problem(self) -> str | None:
        return self.wrong

    async def state(self, api: ApiState) -> State:
        if self.error is not None:
            raise self.error
        return state(api)

    async def explain(self, ips: Sequence[str]) -> list[Explanation]:
        if self.error is not None:
            raise self.error
        return [Explanation(ip=ip, status=Status.UNRESOLVED, answer=Place()) for ip in ips]

    async def top(self, asked: TopQuery) -> Top:
        self.counts.append(asked)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        groups = [TopGroup(2, country_code="DE", country_name="Germany")]
        return Top(by=asked.by, banned=asked.banned, total=2, groups=groups)

    async def run_job(self, job_id: JobId, *, dry: bool) -> Report:
        self.runs.append((job_id, dry))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return Report(job_id, "an-id", 1_800_000_000.9, 0.25, Outcome.DONE, dry, {"flushed": 3})


def at(text: str) -> Timestamp:
    """Return a time, read from text."""
    return Timestamp(datetime.fromisoformat(text).timestamp())


def state(api: ApiState | None = None) -> State:
    """Return a state in which everything that may be missing is."""
    return State(
        version="1.2.3",
        pid=42,
        started=at("2026-11-22T00:00:00Z"),
        now=at("2026-11-22T00:10:00Z"),
        healthy=True,
        config=ConfigState(path="/etc/bangeod/bangeod.toml", refused=False),
        jobs=[JobState(id=job_id, enabled=True, interval=60.0, timeout=60.0, running=False) for job_id in JobId],
        cache=CacheState(
            entries=2, max_entries=10, dirty=1, max_dirty=5, negative=0, refused=0, not_kept=0, loaded=True
        ),
        sources=SourcesState(mmdb=[], mmdb_reloads=0, embedded=True, ip_api=IpApiState(enabled=False), fail2ban=None),
        database=DatabaseState(path="/var/lib/bangui/bangui.db", size=4096, wal=0, free=0),
        api=api or ApiState(),
    )


class Reply(NamedTuple):
    """An answer, taken apart."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an error; its form is checked on the way."""
        document = self.json
        assert self.headers["content-type"] == "application/json"
        assert list(document) == ["error"]
        assert sorted(document["error"]) == ["code", "message"]
        assert "Traceback" not in document["error"]["message"]
        code: str = document["error"]["code"]
        return code


class Host:
    """A backend and the server in front of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.backend = Backend()
        self.server = ApiServer(self.backend, grace=0.1)
        self._clients: list[asyncio.StreamWriter] = []

    async def open(self, mode: int = 0o660) -> None:
        await self.server.open(self.path, mode)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_unix_connection(str(self.path), limit=1 << 24)
        self._clients.append(writer)
        return reader, writer

    async def close(self) -> None:
        """Close both ends of everything."""
        for writer in self._clients:
            writer.transport.abort()
        await self.server.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._clients), return_exceptions=True)

    async def raw(self, *pieces: bytes) -> bytes:
        """Send bytes as they are; return all that comes until the server closes."""
        reader, writer = await self.connect()
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        try:
            return await asyncio.wait_for(reader.read(), 30)
        finally:
            writer.close()

    async def ask(self, method: str, path: str, body: bytes | None = None, *headers: str) -> Reply:
        """Send one request on a connection of its own."""
        lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", *headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join(lines).encode() + BODY_END
        return parse(await self.raw(head + (body or b"")))

    async def post(self, path: str, document: object, *headers: str) -> Reply:
        """Send JSON."""
        return await self.ask("POST", path, json.dumps(document).encode(), *headers)


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop go on until something holds."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - there is no event for what the server does inside
            await asyncio.sleep(0)


def parse(answer: bytes) -> Reply:
    """Take the bytes of an answer apart."""
    head, _, body = answer.partition(BODY_END)
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Reply(int(first.split()[1]), headers, body)


@asynccontextmanager
async def hosting(path: Path, backend_error: BangeodError | None = None) -> AsyncGenerator[Host, None]:
    """Run a server for as long as the block lasts."""
    host = Host(path)
    host.backend.error = backend_error
    await host.open()
    try:
        yield host
    finally:
        await host.close()
