"""Resolving from an MMDB: new addresses beside bare lookups in the file; a million entries verified after a swap."""

import asyncio
import gc
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import maxminddb

from bangeod.clock import SystemClock
from bangeod.geo.cache.contents import Memory
from bangeod.geo.cache.verification import verify
from bangeod.geo.sources.mmdb.merged import MmdbFiles
from bangeod.model import UNKNOWN, Status
from tests.benchmarks import databases, geodata, samples
from tests.benchmarks.report import Section, medians, milliseconds, per_second, verdict
from tests.benchmarks.running import running, settings
from tests.benchmarks.scale import Scale
from tests.benchmarks.steps import StepMonitor, share

ENTRIES = 1_000_000
NEW = 100_000
ROWS = 100_000  # of other addresses, in the table that is asked first
AT_ONCE = 10_000  # addresses a call, as many as a request to the API may hold
MOVED = 5  # of a hundred networks, from one file to the next
SHARE_OF_BARE = 0.4  # of the speed of bare lookups, at least
USUAL_STEP = 0.020  # seconds
LONGEST_STEP = 0.050  # seconds


def run(scale: Scale, directory: Path) -> Iterator[Section]:
    """Measure both."""
    count = scale.of(geodata.NETWORKS)
    nested = geodata.write_country_file(directory / "nested.mmdb", nested=True, count=count)
    flat = geodata.write_country_file(directory / "flat.mmdb", nested=False, count=count)
    yield _resolving(scale, directory, nested, flat)
    later = geodata.write_country_file(directory / "later.mmdb", nested=True, count=count, moved=MOVED)
    yield _verifying(scale, nested, later)


# --- new addresses ------------------------------------------------------------------------------------------------


def _resolving(scale: Scale, directory: Path, nested: Path, flat: Path) -> Section:
    ips = samples.addresses(scale.of(ROWS) + scale.of(NEW))
    known, new = ips[: scale.of(ROWS)], ips[scale.of(ROWS) :]
    database = directory / "bangui.db"
    databases.make(database, known, int(time.time()))
    rows, figures = [], {}
    for name, path, bar in (("MaxMind's layout", nested, SHARE_OF_BARE), ("a flat layout", flat, None)):
        spent = medians(asyncio.run(_both_ways(database, path, new)) for _ in range(scale.runs))
        figures[name] = spent
        ratio = spent["bare"] / spent["batch"]
        rows += [
            [f"{name}: maxminddb's get", per_second(len(new), spent["bare"]), milliseconds(spent["bare"]), *[""] * 3],
            [
                f"{name}: lookup_batch",
                per_second(len(new), spent["batch"]),
                milliseconds(spent["batch"]),
                f"{ratio:.2f}",
                *(("", "") if bar is None else verdict(f"{bar}", reached=ratio >= bar)),
            ],
        ]
    notes = [
        f"{scale.of(geodata.NETWORKS):,} networks of all sizes; {AT_ONCE:,} addresses a call; the table is asked first",
        "lookup_batch takes what it found into memory and into the dirty set, too",
    ]
    title = f"resolving: {len(new):,} new addresses"
    return Section(title, ("", "lookups", "time", "share", "at least", ""), rows, notes, figures)


async def _both_ways(database: Path, mmdb: Path, ips: Sequence[str]) -> dict[str, float]:
    async with running(settings(database, (mmdb,))) as components:
        await components.cache.load_from_db()
        gc.collect()
        began = time.perf_counter()
        unresolved = 0
        for start in range(0, len(ips), AT_ONCE):
            answers = await components.cache.lookup_batch(ips[start : start + AT_ONCE])
            unresolved += sum(answer.status is not Status.RESOLVED for answer in answers)
        batch = time.perf_counter() - began
    if unresolved > len(ips) // 20:
        raise RuntimeError(f"{unresolved} of {len(ips)} addresses are not known")
    with maxminddb.open_database(str(mmdb)) as reader:
        began = time.perf_counter()
        for ip in ips:
            reader.get(ip)
        bare = time.perf_counter() - began
    return {"bare": bare, "batch": batch}


# --- after a swap -------------------------------------------------------------------------------------------------


def _verifying(scale: Scale, before: Path, after: Path) -> Section:
    ips = samples.addresses(scale.of(ENTRIES))
    spent = medians(asyncio.run(_verify(ips, before, after)) for _ in range(scale.runs))
    rows = [
        ["time", f"{spent['time']:.1f} s", "", ""],
        ["entries that changed", f"{spent['changed']:,.0f}", "", ""],
        [
            "event loop, 99.9 % of its steps",
            milliseconds(spent["step"]),
            *verdict(milliseconds(USUAL_STEP), reached=spent["step"] <= USUAL_STEP),
        ],
        [
            "event loop, longest step",
            milliseconds(spent["longest_step"]),
            *verdict(milliseconds(LONGEST_STEP), reached=spent["longest_step"] <= LONGEST_STEP),
        ],
    ]
    title = f"resolving: {len(ips):,} entries verified after a swap"
    return Section(title, ("", "bangeod", "at most", ""), rows, figures=spent)


async def _verify(ips: Sequence[str], before: Path, after: Path) -> dict[str, float]:
    memory = Memory(SystemClock(), max_entries=2 * len(ips), max_dirty=len(ips), flush_soon=lambda: None)
    files = MmdbFiles([before])
    await files.refresh()
    now = int(time.time())
    for ip in ips:
        memory.table.put(ip, files.find(ip) or UNKNOWN, now)
    files.set_paths([after])
    await files.refresh()
    gc.collect()
    with StepMonitor() as steps:
        began = time.perf_counter()
        result = await verify(memory, files.find)
        spent = time.perf_counter() - began
        await asyncio.sleep(0)
    files.close()
    durations = sorted(steps.durations)
    step, longest = share(durations, 0.999), durations[-1]
    return {"time": spent, "changed": result.changed, "step": step, "longest_step": longest}
