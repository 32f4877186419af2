"""10,000 addresses that three hosts behind one public address want to know: what of ip-api.com's quota is used.

The server in ip-api.com's place is the strict one of the tests, on loopback; claims and pauses are on a real PostgreSQL
server. Time runs faster than it does for all of them. The plain way is that each host keeps to the limits by itself.
"""

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from bangeod.clock import to_text
from bangeod.fleet.ip_api_turns import LOCK_TIMEOUT, IpApiTurns
from bangeod.geo.cache.cache import GeoCache
from bangeod.geo.cache.resolver import Resolver
from bangeod.geo.sources.ip_api.client import IpApi
from bangeod.geo.sources.ip_api.turns import Turns
from bangeod.jobs.ban_watch import BanWatch
from bangeod.jobs.geo_re_resolve import GeoReResolve
from bangeod.jobs.job import Run
from bangeod.store.memory import MemoryStore
from bangeod.store.postgres.session import Session
from tests.benchmarks import samples
from tests.benchmarks.ip_api import ADDRESSES, BATCH, LIMIT, QUICK_ADDRESSES, FastClock
from tests.benchmarks.report import Section, verdict
from tests.benchmarks.scale import Scale
from tests.support.fakes import SourcesInHand
from tests.support.servers.ip_api import WINDOW, IpApiServer, Pauses
from tests.support.servers.postgres_fleet import FleetTables

HOSTS: Final = 3
SPEED: Final = 10  # seconds of the servers and the hosts in one of ours
A_RUN: Final = 540.0  # seconds, of the job
BETWEEN_RUNS: Final = 60.0
VIOLATIONS, ASKED_TWICE, QUOTA_USED = 0, 0, 0.9

MakeTurns = Callable[[int, FastClock], Turns | None]  # by the host's number


def quota(tables: FleetTables, scale: Scale) -> Section:
    """Let three hosts resolve the same addresses, together and each by itself for as long as that took."""
    ips = samples.addresses(QUICK_ADDRESSES if scale.quick else ADDRESSES)

    def turns(number: int, clock: FastClock) -> Turns:
        session = Session(tables.conninfo(number), clock, schema=None, lock_timeout=LOCK_TIMEOUT)
        return IpApiTurns(session, clock, host=f"host-{number}", egress="office", speed=SPEED)

    together = asyncio.run(measure(ips, SPEED, turns, math.inf))
    alone = asyncio.run(measure(ips, SPEED, lambda _number, _clock: None, together["seconds"]))
    return _section({"each by itself": alone, "bangeod": together}, len(ips), bars=not scale.quick)


async def measure(ips: Sequence[str], speed: float, make_turns: MakeTurns, within: float) -> dict[str, float]:
    """Let the hosts go on until one or another knows each address, or for so many seconds of their clock."""
    clock = FastClock(speed)
    async with IpApiServer(clock, limit=LIMIT) as server:
        server.known = {ip: {"country": "Sweden", "countryCode": "SE", "as": "AS64500 Example"} for ip in ips}
        caches = [_Host(server, clock, ips, make_turns(number, clock)) for number in range(HOSTS)]
        hosts = [asyncio.create_task(host.go_on()) for host in caches]
        ends = clock.monotonic() + within
        while clock.monotonic() < ends and not any(host.done() for host in hosts):
            if len({ip for host in caches for ip in host.resolved()}) == len(ips):
                break
            await clock.sleep(1.0)
        for running in hosts:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
        for host in caches:
            await host.client.close()
        return _figures(server, len({ip for host in caches for ip in host.resolved()}), len(ips))


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

    def __init__(self, server: IpApiServer, clock: FastClock, ips: Sequence[str], turns: Turns | None) -> None:
        self._clock = clock
        self._store = MemoryStore()
        seen = to_text(time.time())
        for ip in ips:
            self._store.put_geo(ip, last_seen=seen)
        self.client = IpApi(url=server.url, timeout=10, clock=clock, pause_store=Pauses(), turns=turns)
        cache = GeoCache(self._store, Resolver(clock, SourcesInHand(remote=self.client)), clock)
        self._job = GeoReResolve(self._store, cache, BanWatch(), sleep=clock.sleep)

    async def go_on(self) -> None:
        """Run the job again and again."""
        while True:
            await self._job.run(Run.within(A_RUN, self._clock))
            await self._clock.sleep(BETWEEN_RUNS)

    def resolved(self) -> list[str]:
        return [str(key) for key, row in self._store.geo_cache.items() if row["country_code"] is not None]


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
