"""10,000 addresses that three hosts behind one public address want to know: what of ip-api.com's quota is used.

The server in ip-api.com's place is the strict one of the tests, on loopback; claims and pauses are on a real PostgreSQL
server. Time runs faster than it does for all of them. The plain way is that each host keeps to the limits by itself.
"""

import asyncio
import contextlib
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from bangeod.fleet.ip_api_turns import LOCK_TIMEOUT, IpApiTurns
from bangeod.geo.cache.cache import GeoCache
from bangeod.geo.cache.resolver import Resolver
from bangeod.geo.sources.ip_api.client import IpApi
from bangeod.geo.sources.ip_api.turns import Turns
from bangeod.jobs.ban_watch import BanWatch
from bangeod.jobs.geo_re_resolve import GeoReResolve
from bangeod.jobs.job import Run
from bangeod.store.postgres.session import Session
from bangeod.store.sqlite.store import SqliteStore
from tests.benchmarks import databases, samples
from tests.benchmarks.ip_api import ADDRESSES, BATCH, LIMIT, QUICK_ADDRESSES, FastClock, make_unresolved
from tests.benchmarks.report import Section, verdict
from tests.benchmarks.scale import Scale
from tests.support.fakes import SourcesInHand
from tests.support.servers.ip_api import WINDOW, IpApiServer, Pauses
from tests.support.servers.postgres_fleet import FleetTables

HOSTS: Final = 3
SPEED: Final = 6  # seconds of the servers and the hosts in one of ours
A_RUN: Final = 540.0  # seconds, of the job
BETWEEN_RUNS: Final = 60.0
VIOLATIONS, ASKED_TWICE, QUOTA_USED = 0, 0, 0.9

MakeTurns = Callable[[int, FastClock], Turns | None]  # by the host's number


def quota(tables: FleetTables, scale: Scale, directory: Path) -> Section:
    """Let three hosts resolve the same addresses, together and each by itself for as long as that took."""
    ips = samples.addresses(QUICK_ADDRESSES if scale.quick else ADDRESSES)

    def turns(number: int, clock: FastClock) -> Turns:
        session = Session(tables.conninfo(number), clock, schema=None, lock_timeout=LOCK_TIMEOUT)
        return IpApiTurns(session, clock, host=f"host-{number}", egress="office", speed=SPEED)

    for name in ("together", "alone"):
        (directory / name).mkdir()
    together = asyncio.run(measure(ips, directory / "together", turns))
    within = together["seconds"]
    alone = asyncio.run(measure(ips, directory / "alone", lambda _number, _clock: None, within=within))
    return _section({"each by itself": alone, "bangeod": together}, len(ips), bars=not scale.quick)


async def measure(
    ips: Sequence[str], directory: Path, make_turns: MakeTurns, *, within: float = math.inf, speed: float = SPEED
) -> dict[str, float]:
    """Let the hosts go on until one or another knows each address, or for so many seconds of their clock.

    Their databases are made in the directory.
    """
    clock = FastClock(speed)
    async with IpApiServer(clock, limit=LIMIT) as server, AsyncExitStack() as left:
        server.known = {ip: {"country": "Sweden", "countryCode": "SE", "as": "AS64500 Example"} for ip in ips}
        hosts = []
        for number in range(HOSTS):
            hosts.append(_Host(server, clock, directory / f"{number}.db", make_turns(number, clock)))
            make_unresolved(hosts[-1].path, ips)
            left.push_async_callback(hosts[-1].close)
        running = [asyncio.create_task(host.go_on()) for host in hosts]
        ends = clock.monotonic() + within
        while clock.monotonic() < ends and not any(task.done() for task in running):
            if len(server.requests) * BATCH >= len(ips) and len(_resolved(hosts)) == len(ips):
                break
            await clock.sleep(1.0)
        for task in running:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        return _figures(server, len(_resolved(hosts)), len(ips))


def _figures(server: IpApiServer, resolved: int, wanted: int) -> dict[str, float]:
    asked = Counter(ip for request in server.requests for ip in request.asked)
    taken = server.times[-1] - server.times[0]
    fastest = (math.ceil(math.ceil(wanted / BATCH) / LIMIT) - 1) * WINDOW
    return {
        "resolved": resolved,
        "requests": len(server.requests),
        "violations": server.offending,
        "asked twice": sum(times > 1 for times in asked.values()),
        "seconds": taken,
        "used": fastest / taken if resolved == wanted else math.nan,
    }


class _Host:
    """A host with a database and a memory of its own, in which no address has a country yet."""

    def __init__(self, server: IpApiServer, clock: FastClock, path: Path, turns: Turns | None) -> None:
        self.path = path
        self._clock = clock
        self._store = SqliteStore(path, busy_timeout=5.0, max_lock_time=0.003, clock=clock)
        self._client = IpApi(url=server.url, timeout=10, clock=clock, pause_store=Pauses(), turns=turns)
        cache = GeoCache(self._store, Resolver(clock, SourcesInHand(remote=self._client)), clock)
        self._job = GeoReResolve(self._store, cache, BanWatch(), sleep=clock.sleep)

    async def go_on(self) -> None:
        """Run the job again and again."""
        while True:
            await self._store.prepare()
            await self._job.run(Run.within(A_RUN, self._clock))
            await self._clock.sleep(BETWEEN_RUNS)

    async def close(self) -> None:
        await self._client.close()
        await self._store.close()


def _resolved(hosts: Sequence[_Host]) -> set[str]:
    known = "SELECT json_group_array(ip) FROM geo_cache WHERE country_code IS NOT NULL"
    return {ip for host in hosts for ip in json.loads(databases.query(host.path, known))}


def _section(figures: Mapping[str, Mapping[str, float]], count: int, *, bars: bool) -> Section:
    ours = figures["bangeod"]

    def row(name: str, key: str, form: str, bar: str = "", *, reached: bool = False) -> Sequence[str]:
        judged = verdict(bar, reached=reached) if bar and bars else ("", "")
        shown = ("-" if math.isnan(values[key]) else form.format(values[key]) for values in figures.values())
        return [name, *shown, *judged]

    return Section(
        f"fleet: {count:,} addresses, {HOSTS} hosts with one public address",
        ("", *figures, "to reach", ""),
        [
            row("addresses resolved", "resolved", "{:,.0f}", "all", reached=ours["resolved"] == count),
            row("requests", "requests", "{:.0f}"),
            row(
                "requests that break a limit",
                "violations",
                "{:.0f}",
                f"at most {VIOLATIONS}",
                reached=ours["violations"] <= VIOLATIONS,
            ),
            row(
                "addresses asked twice",
                "asked twice",
                "{:,.0f}",
                f"at most {ASKED_TWICE}",
                reached=ours["asked twice"] <= ASKED_TWICE,
            ),
            row("from the first to the last", "seconds", "{:.1f} s"),
            row("quota used", "used", "{:.1%}", f"at least {QUOTA_USED:.0%}", reached=ours["used"] >= QUOTA_USED),
        ],
        [
            "quota used: the time in which the limit lets these requests through, as a part of the time that they took",
            "each by itself: for as long as it took bangeod",
            f"time ran {SPEED:g} times as fast as it does",
        ],
        figures,
    )
