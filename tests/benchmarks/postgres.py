"""The store on a PostgreSQL server, beside the plain way: one statement through the same driver.

The server is a real one, with its cluster in memory where there is room for that: what a disk takes is the same for
both. While rows are deleted, another process updates a random one every 5 ms.
"""

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bangeod.clock import SECONDS_A_DAY, SystemClock, to_text
from bangeod.model import DirtyEntry
from bangeod.store.postgres.store import PostgresStore
from tests.benchmarks import fleet_geo, fleet_quota, postgres_daemons, samples
from tests.benchmarks.report import Section, medians, milliseconds, times, verdict
from tests.benchmarks.scale import Scale
from tests.support.servers import postgres, postgres_fleet
from tests.support.servers.postgres import PostgresServer
from tests.support.servers.postgres_tables import GEO_CACHE, SESSIONS

ROWS: Final = 1_000_000
ENTRIES: Final = 100_000
SOUGHT: Final = 10_000
STALE: Final = 50  # percent
NOW: Final = 1_795_305_600  # seconds since the epoch
SERVER: Final = {"autovacuum": "on", "fsync": "on", "full_page_writes": "on", "shared_buffers": "256MB"}

LONGEST, JOB, FLUSH, FIND = 1 / 10, 6.0, 2.0, 1.5  # bars: parts and multiples of the plain way

UPSERT: Final = (
    "INSERT INTO geo_cache SELECT * FROM flushed ON CONFLICT (ip) DO UPDATE SET country_code = EXCLUDED.country_code,"
    " country_name = EXCLUDED.country_name, asn = EXCLUDED.asn, org = EXCLUDED.org, cached_at = EXCLUDED.cached_at,"
    " last_seen = EXCLUDED.last_seen"
)
FIND_PLAINLY: Final = "SELECT ip, country_code, country_name, asn, org, last_seen FROM geo_cache WHERE ip = ANY (%s)"


@dataclass(frozen=True)
class Place:
    """A server, and what is stored on it before each measurement."""

    server: PostgresServer
    rows: Sequence[samples.GeoRow]
    web_app: Any  # a connection of psycopg's

    def fill(self) -> None:
        self.web_app.execute("TRUNCATE geo_cache")
        with self.web_app.cursor().copy("COPY geo_cache FROM STDIN") as copy:
            for row in self.rows:
                copy.write_row(row)
        self.web_app.execute("VACUUM (ANALYZE, FREEZE) geo_cache")
        self.web_app.execute("CHECKPOINT")

    def store(self) -> PostgresStore:
        return PostgresStore(self.server.conninfo(), SystemClock())


def run(scale: Scale, directory: Path) -> Iterator[Section]:
    """Measure a cleanup, a flush and lookups, and in a fleet a fresh host, and what it makes of ip-api.com's quota."""
    ips = samples.addresses(scale.of(ROWS))
    with postgres.running(**SERVER) as server, server.connect() as web_app:
        for statement in (GEO_CACHE, SESSIONS):
            web_app.execute(statement)
        place = Place(server, list(samples.geo_rows(ips, NOW, stale=STALE)), web_app)
        yield _cleanup(place, scale)
        yield _flush(place, scale)
        yield _find(place, scale)
        web_app.execute("TRUNCATE geo_cache")
        yield postgres_daemons.section(server, scale)
        with postgres_fleet.on(server, fleet_quota.HOSTS) as tables:
            yield fleet_geo.section(tables, scale, directory)
            tables.empty()
            yield fleet_quota.quota(tables, scale, directory)


def _cleanup(place: Place, scale: Scale) -> Section:
    before = NOW - samples.RETENTION_DAYS * SECONDS_A_DAY
    due = (to_text(before),)
    runs = []
    deleted = 0
    for _ in range(scale.runs):
        place.fill()
        with _beside_client(place) as waits:
            plain = _timed(lambda: place.web_app.execute("DELETE FROM geo_cache WHERE last_seen < %s", due))
        longest = max(waits())
        place.fill()
        with _beside_client(place) as waits:
            deleted, job = asyncio.run(_delete(place, before))
        beside_job = max(waits())
        with _beside_client(place) as waits:
            time.sleep(job)
        runs.append(
            {
                "plain": plain,
                "job": job,
                "longest": longest,
                "longest beside the job": beside_job,
                "longest beside nothing": max(waits()),
            }
        )
    figures = medians(runs)
    wait, took = figures["longest beside the job"] / figures["longest"], figures["job"] / figures["plain"]
    alone = milliseconds(figures["longest beside nothing"])
    return Section(
        f"geo_cache_cleanup on a server, {deleted:,} rows of {len(place.rows):,}",
        ("", "one DELETE", "bangeod", "ratio", "to reach", ""),
        [
            _row("a client's longest wait", figures["longest"], figures["longest beside the job"], LONGEST),
            _row("the whole", figures["plain"], figures["job"], JOB),
        ],
        notes=[f"beside nothing, in the same time, the client's longest wait is {alone}"],
        figures={**figures, "wait": wait, "took": took},
    )


async def _delete(place: Place, before: int) -> tuple[int, float]:
    store = place.store()
    await store.prepare()
    began, deleted = time.perf_counter(), 0
    async with aclosing(store.delete_stale(before, keep=lambda _key: False)) as slices:
        async for done in slices:
            deleted += len(done.keys)
    took = time.perf_counter() - began
    await store.close()
    return deleted, took


def _flush(place: Place, scale: Scale) -> Section:
    """Half of the entries are of rows that are there, half are new."""
    count = scale.of(ENTRIES)
    known = [row.ip for row in place.rows[: count // 2]]
    stored = {row.ip for row in place.rows}
    fresh = [ip for ip in samples.addresses(count, seed=9) if ip not in stored][: count - len(known)]
    entries = sorted(samples.dirty_entries(known, fresh, NOW + 60), key=lambda entry: entry.ip)  # as a flush has them
    runs = []
    for _ in range(scale.runs):
        place.fill()
        plain = _timed(lambda: _upsert(place.web_app, entries))
        place.fill()
        runs.append({"plain": plain, "store": asyncio.run(_write(place, entries))})
    figures = medians(runs)
    return Section(
        f"a flush of {count:,} entries to a server",
        ("", "COPY and upsert", "bangeod", "ratio", "to reach", ""),
        [_row("the whole", figures["plain"], figures["store"], FLUSH)],
        figures={**figures, "took": figures["store"] / figures["plain"]},
    )


def _upsert(web_app: Any, entries: Sequence[DirtyEntry]) -> None:
    with web_app.transaction():
        web_app.execute("CREATE TEMPORARY TABLE flushed (LIKE geo_cache) ON COMMIT DROP")
        with web_app.cursor().copy("COPY flushed FROM STDIN") as copy:
            for entry in entries:
                copy.write_row((entry.ip, *entry.geo, to_text(entry.resolved_at), to_text(entry.last_seen)))
        web_app.execute(UPSERT)


async def _write(place: Place, entries: Sequence[DirtyEntry]) -> float:
    store = place.store()
    await store.find([entries[0].ip])  # the keys are read once
    began = time.perf_counter()
    async with aclosing(store.write(entries)) as slices:
        written = sum([len(done) async for done in slices])
    took = time.perf_counter() - began
    await store.close()
    if written != len(entries):
        raise RuntimeError(f"{len(entries) - written} entries were not written")
    return took


def _find(place: Place, scale: Scale) -> Section:
    place.fill()
    sought = random.Random(7).sample([row.ip for row in place.rows], scale.of(SOUGHT))
    figures = asyncio.run(_look_up(place, sought, 3 * scale.runs))
    return Section(
        f"find of {len(sought):,} addresses on a server",
        ("", "= ANY", "bangeod", "ratio", "to reach", ""),
        [_row("the whole", figures["plain"], figures["store"], FIND)],
        figures={**figures, "took": figures["store"] / figures["plain"]},
    )


async def _look_up(place: Place, ips: Sequence[str], turns: int) -> dict[str, float]:
    store = place.store()
    await store.find(ips)
    runs = []
    for _ in range(turns):
        plain = _timed(lambda: place.web_app.execute(FIND_PLAINLY, (list(ips),)).fetchall())
        began = time.perf_counter()
        await store.find(ips)
        runs.append({"plain": plain, "store": time.perf_counter() - began})
    await store.close()
    return medians(runs)


def _row(name: str, plain: float, store: float, bar: float) -> tuple[str, ...]:
    ratio = store / plain
    reached = verdict(f"at most {bar:g} x", reached=ratio <= bar)
    return name, milliseconds(plain), milliseconds(store), times(ratio), *reached


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@contextmanager
def _beside_client(place: Place) -> Iterator[Callable[[], Sequence[float]]]:
    """Have a client update rows meanwhile; gives what returns, afterwards, how long each update took."""
    command = [sys.executable, "-m", "tests.benchmarks.postgres_client", place.server.keywords(), to_text(NOW)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        client.stdout.readline()
        told: list[float] = []
        try:
            yield lambda: told
        finally:
            output, _ = client.communicate()
            told += json.loads(output)
