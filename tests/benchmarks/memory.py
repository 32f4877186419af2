"""The cache in memory: how large an entry is, how long loading takes, how fast lookups are.

    python -m tests.benchmarks.memory KIND DATABASE
    python -m tests.benchmarks.memory grown COUNT

The first loads all rows of a database in a process of its own and prints by how many bytes it has grown. What is
counted is the resident set: it is what the machine has to give, with all that allocators keep for themselves. Text
comes from SQLite, so each row brings new string objects, as it does in the daemon. The second fills a table with so
many entries, without a database, and prints the same and how many seconds a lookup takes then.
"""

import asyncio
import gc
import json
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bangeod.addresses import read_address, text_of
from bangeod.geo.cache.cache import GeoCache
from bangeod.geo.cache.table import EntryTable
from bangeod.model import Geo, Status
from bangeod.store.sqlite.engine import engine
from tests.benchmarks import databases, samples
from tests.benchmarks.report import Section, medians, milliseconds, per_second, times, verdict
from tests.benchmarks.running import running, settings
from tests.benchmarks.scale import Scale
from tests.benchmarks.steps import StepMonitor

ROWS = 1_000_000
LOOKUPS = 100_000
AT_ONCE = 10_000  # addresses a call, as many as a request to the API may hold
MANY = 10_000_000  # entries
IPV6 = 0.15  # of these
FOUND_AT_ONCE = 2_000  # addresses, as GeoCache does it
SLOWEST_AMONG_MANY = 1.5  # times a lookup among ROWS
LARGEST_ENTRY = 0.06  # of the plain one's size
SLOWEST_LOAD = 4.0  # times the plain way
SLOWEST_LOOKUP = 4.0  # times the plain way
COLUMNS = "SELECT ip, country_code, country_name, asn, org, unixepoch(last_seen) FROM geo_cache"


@dataclass
class PlainEntry:
    """What a cache without further thought holds."""

    country_code: str | None
    country_name: str | None
    asn: str | None
    org: str | None
    last_seen: int


def run(scale: Scale, directory: Path) -> Iterator[Section]:
    """Measure size, loading and lookups."""
    path = directory / "bangui.db"
    ips = samples.addresses(scale.of(ROWS))
    databases.make(path, ips, int(time.time()))
    yield _sizes(scale, path)
    yield _many(scale)
    loads, lookups = [], []
    for _ in range(scale.runs):
        gc.collect()
        load, lookup = asyncio.run(_cache(path, ips[:: len(ips) // scale.of(LOOKUPS)]))
        loads.append(load | {"bare": bare_load(path)})
        lookups.append(lookup)
    yield _loading(scale.of(ROWS), medians(loads))
    yield _looking_up(scale.of(LOOKUPS), medians(lookups))


# --- size ---------------------------------------------------------------------------------------------------------


def _sizes(scale: Scale, path: Path) -> Section:
    count = scale.of(ROWS)
    kinds = ("dict", "table")
    grown = medians({kind: _grown(kind, path) / count for kind in kinds} for _ in range(scale.runs))
    ratio = grown["table"] / grown["dict"]
    rows = [
        ["dict[str, dataclass]", f"{grown['dict']:.0f} B", f"{grown['dict'] * count / 1e6:.0f} MB", "", "", ""],
        [
            "EntryTable",
            f"{grown['table']:.0f} B",
            f"{grown['table'] * count / 1e6:.0f} MB",
            f"{ratio:.3f}",
            *verdict(f"{LARGEST_ENTRY}", reached=ratio <= LARGEST_ENTRY),
        ],
    ]
    notes = [
        "growth of the resident set of a process that loads the rows, key strings included",
        f"{samples.NETWORKS:,} networks, heavy-tailed; both hold the place and last_seen",
    ]
    return Section(f"memory: {count:,} entries", ("", "an entry", "all", "ratio", "at most", ""), rows, notes, grown)


def _grown(kind: str, path: Path) -> int:
    command = [sys.executable, "-m", "tests.benchmarks.memory", kind, str(path)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _measure(kind: str, path: str) -> int:
    """Load all rows; return by how many bytes the resident set has grown."""
    plain: dict[str, PlainEntry] = {}
    table = EntryTable()
    gc.collect()
    before = _resident()
    with closing(engine.connect(path)) as connection:
        for ip, code, name, asn, org, seen in connection.execute(COLUMNS):
            if kind == "dict":
                plain[ip] = PlainEntry(code, name, asn, org, seen)
            else:
                table.put(ip, Geo(code, name, asn, org), seen)
    gc.collect()
    return _resident() - before


def _many(scale: Scale) -> Section:
    counts = [scale.of(ROWS), scale.of(MANY)]
    figures = {count: medians(_filled(count) for _ in range(scale.runs)) for count in counts}
    few, many = (figures[count] for count in counts)
    ratio = many["lookup"] / few["lookup"]
    shown = [
        [f"{count:,}", f"{of['grown'] / count:.1f} B", f"{of['grown'] / 1e6:,.0f} MB", f"{of['lookup'] * 1e6:.2f} µs"]
        for count, of in figures.items()
    ]
    bar = verdict(times(SLOWEST_AMONG_MANY), reached=ratio <= SLOWEST_AMONG_MANY)
    rows = [[*shown[0], "", "", ""], [*shown[1], times(ratio), *bar]]
    notes = [f"EntryTable.find of known addresses here and there, {FOUND_AT_ONCE:,} a call"]
    heads = ("entries", "an entry", "all", "a lookup", "ratio", "at most", "")
    return Section("memory: a table that grows", heads, rows, notes, {str(count): of for count, of in figures.items()})


def _filled(count: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.memory", "grown", str(count)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def _fill(count: int) -> dict[str, float]:
    """Fill a table; return by how many bytes the resident set has grown, and the seconds of a lookup."""
    chance = random.Random(count)
    networks = samples.networks()
    table = EntryTable()
    asked: list[str] = []
    gc.collect()
    before = _resident()
    while len(table) < count:
        ip = text_of(_random_address(chance))
        place = networks[int(len(networks) * chance.random() ** 3)]  # some have thousands of addresses, most a handful
        table.put(ip, place, 1_800_000_000)
        if chance.random() < LOOKUPS / count:
            asked.append(ip)
    gc.collect()
    grown = _resident() - before - sum(map(sys.getsizeof, asked))
    spent = []
    for _ in range(5):
        began = time.perf_counter()
        for start in range(0, len(asked), FOUND_AT_ONCE):
            table.find(asked[start : start + FOUND_AT_ONCE])
        spent.append((time.perf_counter() - began) / len(asked))
    return {"grown": grown, "lookup": statistics.median(spent)}


def _random_address(chance: random.Random) -> bytes:
    if chance.random() < IPV6:
        return b"\x2a" + chance.randbytes(15)
    return chance.randbytes(4)


def _resident() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


# --- loading and looking up -----------------------------------------------------------------------------------------


def bare_load(path: Path) -> float:
    """Read all rows with one cursor, and hold them in a dict; return the seconds."""
    held: dict[str, PlainEntry] = {}
    began = time.perf_counter()
    with closing(engine.connect(path)) as connection:
        for ip, code, name, asn, org, seen in connection.execute(COLUMNS):
            held[ip] = PlainEntry(code, name, asn, org, seen)
    return time.perf_counter() - began


async def _cache(path: Path, ips: Sequence[str]) -> tuple[dict[str, float], dict[str, float]]:
    async with running(settings(path)) as components:
        with StepMonitor() as steps:
            began = time.perf_counter()
            await components.cache.load_from_db()
            spent = time.perf_counter() - began
            await asyncio.sleep(0)
        load = {"load": spent, "step": steps.share(0.999), "longest_step": max(steps.durations)}
        # The first round moves last_seen forward, once a day; what is of interest is every other one.
        first = _look_up(components.cache, ips)
        return load, {
            "first": first,
            "lookup": _look_up(components.cache, ips),
            "bare": _bare_lookup(components.cache, ips),
        }


def _look_up(cache: GeoCache, ips: Sequence[str]) -> float:
    began = time.perf_counter()
    unknown = 0
    for start in range(0, len(ips), AT_ONCE):
        answers = cache.lookup_cached_only(ips[start : start + AT_ONCE])
        unknown += sum(answer.status is not Status.RESOLVED for answer in answers)
    spent = time.perf_counter() - began
    if unknown > len(ips) // 20:
        raise RuntimeError(f"{unknown} of {len(ips)} addresses are not known")
    return spent


def _bare_lookup(cache: GeoCache, ips: Sequence[str]) -> float:
    held = {ip: cache.known(ip) for ip in ips}
    began = time.perf_counter()
    found = [held.get(read_address(ip)[1]) for ip in ips]
    spent = time.perf_counter() - began
    if len(found) != len(ips):
        raise RuntimeError("some addresses are missing")
    return spent


def _loading(count: int, spent: dict[str, float]) -> Section:
    rows = [
        ["cursor loop into a dict", per_second(count, spent["bare"]), milliseconds(spent["bare"]), *[""] * 5],
        [
            "GeoCache.load_from_db",
            per_second(count, spent["load"]),
            milliseconds(spent["load"]),
            times(spent["load"] / spent["bare"]),
            *verdict(times(SLOWEST_LOAD), reached=spent["load"] <= SLOWEST_LOAD * spent["bare"]),
            milliseconds(spent["step"]),
            milliseconds(spent["longest_step"]),
        ],
    ]
    heads = ("", "rows", "time", "ratio", "at most", "", "99.9 % of loop steps", "longest step")
    return Section(f"memory: loading {count:,} rows", heads, rows, figures=spent)


def _looking_up(count: int, spent: dict[str, float]) -> Section:
    names = {
        "bare": "dict.get of the canonical address",
        "lookup": "lookup_cached_only",
        "first": "lookup_cached_only, first of the day",
    }
    rows = [
        [label, per_second(count, spent[name]), milliseconds(spent[name]), times(spent[name] / spent["bare"]), "", ""]
        for name, label in names.items()
    ]
    rows[1][4:] = verdict(times(SLOWEST_LOOKUP), reached=spent["lookup"] <= SLOWEST_LOOKUP * spent["bare"])
    title = f"memory: looking up {count:,} known addresses, {AT_ONCE:,} a call"
    return Section(title, ("", "lookups", "time", "ratio", "at most", ""), rows, figures=spent)


if __name__ == "__main__":
    kind, what = sys.argv[1:3]
    print(json.dumps(_fill(int(what))) if kind == "grown" else _measure(kind, what))
