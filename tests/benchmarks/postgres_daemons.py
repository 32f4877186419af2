"""Three daemons on one database of a server: how soon what one has written is in the others' memory.

Beside it the plain way: one statement that writes a row and sends a notice, a client that waits for it, and one that
reads the row.
"""

import asyncio
import statistics
import time
from contextlib import AsyncExitStack, closing
from typing import Any, Final

from tests.benchmarks import samples
from tests.benchmarks.report import Section, milliseconds, verdict
from tests.benchmarks.scale import Scale
from tests.support.servers.following_daemon import FollowingDaemon
from tests.support.servers.postgres import PostgresServer

DAEMONS: Final = 3
ROUNDS: Final = 1_000
GOAL: Final = 1.0  # second, at the 99th percentile
PATIENCE: Final = 30.0  # seconds for one address

CHANNEL: Final = "plainly"
WRITE: Final = (
    "WITH written AS (INSERT INTO geo_cache (ip, country_code) VALUES (%(ip)s, 'DE')"
    " ON CONFLICT (ip) DO UPDATE SET country_code = 'DE' RETURNING ip)"
    " SELECT pg_notify('plainly', ip) FROM written"
)


def section(server: PostgresServer, scale: Scale) -> Section:
    """Measure from the beginning of a flush of one address until both others have it."""
    ips = samples.addresses(scale.of(ROUNDS), seed=19)
    plain = _plain(server, ips)
    took = asyncio.run(_follow(server, ips))
    shown = [
        (name, milliseconds(_percentile(plain, share)), milliseconds(_percentile(took, share)))
        for name, share in (("median", 50), ("99th percentile", 99))
    ]
    latest = _percentile(took, 99)
    reached = verdict(f"at most {GOAL:g} s", reached=latest <= GOAL)
    return Section(
        f"three daemons: an address resolved by one is in the others' memory ({len(ips):,} times)",
        ("", "NOTIFY and SELECT", "bangeod", "to reach", ""),
        [(*shown[0], "", ""), (*shown[1], *reached)],
        figures={"plain": statistics.median(plain), "followed": statistics.median(took), "followed_99": latest},
    )


def _percentile(values: list[float], share: int) -> float:
    return statistics.quantiles(values, n=100)[share - 1]


async def _follow(server: PostgresServer, ips: list[str]) -> list[float]:
    took = []
    async with AsyncExitStack() as running:
        first, *others = [
            await running.enter_async_context(FollowingDaemon(server.conninfo()).running()) for _ in range(DAEMONS)
        ]
        await first.store.find(ips[:1])  # the keys are read once
        for each in others:
            await each.store.find(ips[:1])
        for ip in ips:
            first.resolve(ip)
            began = time.perf_counter()
            await first.cache.flush_dirty()
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*(each.knows(ip) for each in others))
            took.append(time.perf_counter() - began)
    return took


def _plain(server: PostgresServer, ips: list[str]) -> list[float]:
    took = []
    with closing(server.connect()) as writer, closing(server.connect()) as listener:
        listener.execute(f"LISTEN {CHANNEL}")
        for ip in ips:
            began = time.perf_counter()
            writer.execute(WRITE, {"ip": ip})
            _read(listener)
            took.append(time.perf_counter() - began)
        writer.execute("TRUNCATE geo_cache")
    return took


def _read(listener: Any) -> None:
    (notice,) = listener.notifies(timeout=PATIENCE, stop_after=1)
    listener.execute("SELECT * FROM geo_cache WHERE ip = %s", (notice.payload,)).fetchall()
