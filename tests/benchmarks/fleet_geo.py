"""A fresh host in a fleet that knows a million addresses: when its daemon answers from the fleet, and what that costs.

The plain way to look up a batch is one statement through the same driver.
"""

import asyncio
import random
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tomli_w

from bangeod.client import GeoClient, Status
from bangeod.clock import SystemClock
from bangeod.fleet.fleet import Fleet
from bangeod.fleet.geo_tier import BATCH, GeoTier
from bangeod.store.sqlite import schema
from tests.benchmarks import samples
from tests.benchmarks.report import Section, medians, milliseconds, verdict
from tests.benchmarks.scale import Scale
from tests.support.servers.postgres_fleet import FleetTables

ROWS: Final = 1_000_000
BATCHES: Final = 40  # looked up in a run
FIRST_ANSWER, BESIDE_PLAIN = 1.0, 0.003  # bars, in seconds
TIMEOUT: Final = 60.0  # seconds
TRIES: Final = 1_000
BETWEEN_TRIES: Final = 0.01  # seconds

FIND_PLAINLY: Final = (
    "SELECT ip, country_code, country_name, asn, org FROM bangeod.geo WHERE ip = ANY (CAST(%s AS inet[]))"
)


@dataclass(frozen=True)
class Answered:
    """When a fresh daemon said where an address is, in seconds after READY, and of how many it knew then."""

    after: float
    batch: float  # seconds that the daemon took for a whole batch of others, afterwards


def section(tables: FleetTables, scale: Scale, directory: Path) -> Section:
    """Let a host write the rows, and another one that has none look them up."""
    ips = samples.addresses(scale.of(ROWS), seed=23)
    _fill(tables, ips)
    chance = random.Random(29)
    fresh = [
        _fresh_daemon(tables, chance.sample(ips, BATCH + TRIES), directory / f"host-{run}") for run in range(scale.runs)
    ]
    figures = medians({"after": each.after, "batch": each.batch} for each in fresh)
    figures |= asyncio.run(_batches(tables, ips, scale.of(BATCHES) * scale.runs))
    more = figures["tier"] - figures["plain"]
    return Section(
        f"a fleet with {len(ips):,} addresses",
        ("", "bare query", "bangeod", "more", "to reach", ""),
        [
            (
                "a fresh daemon's first answer, after READY",
                "-",
                milliseconds(figures["after"]),
                "-",
                *verdict(f"at most {FIRST_ANSWER:g} s", reached=figures["after"] <= FIRST_ANSWER),
            ),
            (
                f"a batch of {BATCH}, of a host that knows none of them",
                milliseconds(figures["plain"]),
                milliseconds(figures["tier"]),
                milliseconds(more),
                *verdict(f"at most {milliseconds(BESIDE_PLAIN)} more", reached=more <= BESIDE_PLAIN),
            ),
            (f"a batch of {BATCH} by the daemon's API", "-", milliseconds(figures["batch"]), "-", "", ""),
        ],
        figures={**figures, "more": more},
    )


def _fill(tables: FleetTables, ips: Sequence[str]) -> None:
    """Have the first host's rows in the table, as its daemon writes them."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    known = [geo for geo in samples.places(20_000) if geo.country_code is not None]
    columns = "ip, writer, country_code, country_name, asn, org, origin, resolved_at, last_seen"
    tables.empty()
    with tables.admin.cursor().copy(f"COPY bangeod.geo ({columns}) FROM STDIN") as copy:
        for number, ip in enumerate(ips):
            copy.write_row((ip, tables.roles[0], *known[number % len(known)], "mmdb", now, now))
    tables.admin.execute("VACUUM (ANALYZE, FREEZE) bangeod.geo")
    tables.admin.execute("CHECKPOINT")


def _fresh_daemon(tables: FleetTables, ips: Sequence[str], home: Path) -> Answered:
    """Start the daemon of a host that knows nothing, and look up one address at READY, then the others."""
    home.mkdir()
    schema.create(home / "bangui.db")
    host = tables.server.home
    content = {
        "database": {"path": str(home / "bangui.db")},
        "fleet": {"url": f"postgresql://{tables.roles[1]}@/{tables.database}?host={host}", "timeout": "1s"},
        "state": {"directory": str(home)},
        "api": {"socket": str(home / "socket")},
        "geo": {"embedded": False},
    }
    (home / "bangeod.toml").write_text(tomli_w.dumps(content))
    command = [sys.executable, "-m", "bangeod", "run", "--config", str(home / "bangeod.toml")]
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as notifications:
        notifications.bind(str(home / "notify"))
        notifications.settimeout(TIMEOUT)
        environment = {"NOTIFY_SOCKET": str(home / "notify"), "PATH": "/usr/bin:/bin"}
        with (home / "log").open("wb") as log, subprocess.Popen(command, env=environment, stderr=log) as daemon:
            try:
                while b"READY=1" not in notifications.recv(4096).split(b"\n"):
                    pass
                return _ask(home / "socket", ips, time.perf_counter())
            finally:
                daemon.terminate()
                daemon.wait(TIMEOUT)


def _ask(api: Path, ips: Sequence[str], ready: float) -> Answered:
    """Ask for another address each time: what was not known once is not sought again at once."""
    others, tries = ips[:BATCH], iter(ips[BATCH:])
    with GeoClient(str(api), timeout=TIMEOUT, strict=True) as client:
        while client.lookup(next(tries)).status is not Status.RESOLVED:
            time.sleep(BETWEEN_TRIES)
        after = time.perf_counter() - ready
        began = time.perf_counter()
        entries = client.lookup_batch(others)
        took = time.perf_counter() - began
    missing = sum(entry.status is not Status.RESOLVED for entry in entries)
    if missing:
        raise RuntimeError(f"{missing} of {len(others)} addresses of the fleet's are not known to the daemon")
    return Answered(after, took)


async def _batches(tables: FleetTables, ips: Sequence[str], count: int) -> dict[str, float]:
    """Look up batches both ways, in turns."""
    fleet = Fleet(tables.conninfo(1), SystemClock(), host="fresh", timeout=5.0)
    tier = GeoTier(fleet, most_waiting=1)
    found: list[dict[str, float]] = []
    chance = random.Random(31)
    with closing(tables.connect(1)) as plain:
        await tier.connect()
        await _both(plain, tier, chance.sample(ips, BATCH))
        found += [await _both(plain, tier, chance.sample(ips, BATCH)) for _ in range(count)]
    await tier.close()
    await fleet.close()
    return medians(found)


async def _both(plain: Any, tier: GeoTier, ips: Sequence[str]) -> dict[str, float]:
    began = time.perf_counter()
    rows = plain.execute(FIND_PLAINLY, (list(ips),)).fetchall()
    between = time.perf_counter()
    places = await tier.find(ips)
    took = time.perf_counter() - between
    if len(rows) != len(ips) or len(places) != len(ips):
        raise RuntimeError(f"of {len(ips)} addresses {len(rows)} have a row, and {len(places)} are known")
    return {"plain": between - began, "tier": took}
