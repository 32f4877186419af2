"""10,000 addresses through ip-api.com's limits: what of the quota is used, and what of it is overdrawn.

The server is the strict one of the tests, on loopback, with the limits of ip-api.com: 15 requests of 100 addresses in a
window of 60 s. Time runs faster than it does, for the server and for its clients alike. The plain way is to send
a batch every 4 s, since that makes 15 a minute, or to send until a 429 comes and then to wait for a minute.
"""

import asyncio
import json
import math
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import httpx

from bangeod.clock import to_text
from bangeod.config.settings import DatabaseSettings, GeoSettings, IpApiSettings, Settings, StateSettings
from bangeod.jobs.ban_watch import BanWatch
from bangeod.jobs.geo_re_resolve import GeoReResolve
from bangeod.jobs.runner import Runner
from bangeod.store.sqlite import schema
from bangeod.store.sqlite.engine import engine
from tests.benchmarks import databases, samples
from tests.benchmarks.report import Section, medians, verdict
from tests.benchmarks.running import succeeded
from tests.benchmarks.scale import Scale
from tests.support.daemon.served import served
from tests.support.servers.ip_api import FIELDS, WINDOW, IpApiServer

ADDRESSES = 10_000
QUICK_ADDRESSES = 2_000  # a twentieth would be over within one window
BATCH = 100
LIMIT = 15  # requests in a window
PACE = WINDOW / LIMIT  # seconds
SPEED = 20  # seconds of the server and its clients in one of ours
QUICK_SPEED = 60
VIOLATIONS = 0  # at most
QUOTA_USED = 0.95  # at least

Sleep = Callable[[float], Awaitable[None]]


class FastClock:
    """A clock that runs so many times faster than time does, from now on."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._began = time.monotonic()
        self._now = time.time()

    def now(self) -> float:
        """Return the wall clock, in seconds since the epoch."""
        return self._now + self._passed()

    def monotonic(self) -> float:
        """Return seconds of a clock that never steps."""
        return self._passed()

    def _passed(self) -> float:
        return (time.monotonic() - self._began) * self._speed

    async def sleep(self, seconds: float) -> None:
        """Sleep until so many seconds have passed on this clock."""
        await asyncio.sleep(seconds / self._speed)


class World(NamedTuple):
    """What a client meets."""

    clock: FastClock
    server: IpApiServer
    ips: Sequence[str]


Client = Callable[[World, Path], Awaitable[int]]  # returns how many addresses it has resolved


def run(scale: Scale, directory: Path) -> Iterator[Section]:
    """Let each client resolve the same addresses."""
    ips = samples.addresses(QUICK_ADDRESSES if scale.quick else ADDRESSES)
    speed = QUICK_SPEED if scale.quick else SPEED

    def measure(client: Client) -> dict[str, float]:
        with tempfile.TemporaryDirectory(dir=directory) as own:
            return asyncio.run(_measure(client, ips, speed, Path(own)))

    figures: dict[str, Mapping[str, float]] = {
        "every 4 s": measure(_at_a_pace),
        "until 429": measure(_until_told_off),
        "bangeod": medians(measure(_by_bangeod) for _ in range(scale.runs)),
    }
    yield _section(figures, len(ips), speed, bars=not scale.quick)


async def _measure(client: Client, ips: Sequence[str], speed: float, directory: Path) -> dict[str, float]:
    clock = FastClock(speed)
    async with IpApiServer(clock, limit=LIMIT) as server:
        server.known = {ip: {"country": "Sweden", "countryCode": "SE", "as": "AS64500 Example"} for ip in ips}
        resolved = await client(World(clock, server, ips), directory)
        taken = server.times[-1] - server.times[0]
        batches = math.ceil(len(ips) / BATCH)
        fastest = (math.ceil(batches / LIMIT) - 1) * WINDOW
        return {
            "resolved": resolved,
            "requests": len(server.requests),
            "violations": server.offending,
            "seconds": taken,
            "allowed": (taken // WINDOW + 1) * LIMIT,
            "used": fastest / taken,
        }


# --- the clients ------------------------------------------------------------------------------------------------


async def _by_bangeod(world: World, directory: Path) -> int:
    """Run the job geo_re_resolve on a database with these addresses, until they all have a country."""
    path = directory / "bangui.db"
    make_unresolved(path, world.ips)
    settings = Settings(
        database=DatabaseSettings(path=path),
        state=StateSettings(directory=directory / "state"),
        geo=GeoSettings(ip_api=IpApiSettings(enabled=True, url=world.server.url)),
    )
    async with served(settings, world.clock) as components:
        job = GeoReResolve(components.store, components.cache, BanWatch(), sleep=world.clock.sleep)
        runner = Runner(world.clock, components.store.prepare)
        succeeded(await runner.run(job, settings.jobs.geo_re_resolve.timeout))
    resolved: int = databases.query(path, "SELECT count(*) FROM geo_cache WHERE country_code = 'SE'")
    return resolved


def make_unresolved(path: Path, ips: Sequence[str]) -> None:
    """Make a database in which these addresses have no country."""
    schema.create(path)
    seen = to_text(time.time())
    with closing(engine.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO geo_cache (ip, last_seen) VALUES (?, ?)", [(ip, seen) for ip in ips])
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")


async def _at_a_pace(world: World, _: Path) -> int:
    resolved = 0
    async with httpx.AsyncClient(trust_env=False) as http:
        for number, batch in enumerate(_batches(world.ips)):
            if number:
                await world.clock.sleep(PACE)
            resolved += len(await _post(http, world.server, batch) or ())
    return resolved


async def _until_told_off(world: World, _: Path) -> int:
    resolved = 0
    async with httpx.AsyncClient(trust_env=False) as http:
        for batch in _batches(world.ips):
            while (items := await _post(http, world.server, batch)) is None:
                await world.clock.sleep(WINDOW)
            resolved += len(items)
    return resolved


def _batches(ips: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ips), BATCH):
        yield ips[start : start + BATCH]


async def _post(http: httpx.AsyncClient, server: IpApiServer, batch: Sequence[str]) -> Sequence[object] | None:
    headers = {"Content-Type": "application/json"}
    query = {"fields": ",".join(sorted(FIELDS))}
    response = await http.post(server.url, params=query, headers=headers, content=json.dumps(batch))
    items: Sequence[object] | None = response.json() if response.is_success else None
    return items


# --- the table --------------------------------------------------------------------------------------------------


def _section(figures: Mapping[str, Mapping[str, float]], count: int, speed: float, *, bars: bool) -> Section:
    ours = figures["bangeod"]

    def judge(reached: bool, bar: str) -> tuple[str, str]:
        return verdict(bar, reached=reached) if bars else ("", "")

    rows = [
        [
            "addresses resolved",
            *_each(figures, "resolved", "{:,.0f}"),
            *judge(ours["resolved"] == count, "all"),
        ],
        ["requests", *_each(figures, "requests", "{:.0f}"), "", ""],
        [
            "requests that break a limit",
            *_each(figures, "violations", "{:.0f}"),
            *judge(ours["violations"] <= VIOLATIONS, f"at most {VIOLATIONS}"),
        ],
        ["from the first to the last", *_each(figures, "seconds", "{:.1f} s"), "", ""],
        [
            "quota used",
            *_each(figures, "used", "{:.1%}"),
            *judge(ours["used"] >= QUOTA_USED, f"at least {QUOTA_USED:.0%}"),
        ],
    ]
    notes = [
        "quota used: the time in which the limit lets these requests through, as a part of the time that they took",
        f"15 requests in each minute begun are {ours['allowed']:.0f}, of which bangeod sent {ours['requests']:.0f}",
        f"time ran {speed:g} times as fast as it does",
    ]
    return Section(f"ip_api: {count:,} addresses", ("", *figures, "bar", ""), rows, notes, figures)


def _each(figures: Mapping[str, Mapping[str, float]], name: str, form: str) -> list[str]:
    return [form.format(values[name]) for values in figures.values()]
