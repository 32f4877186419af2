"""The API of the daemon beside an aiohttp handler that returns a constant, while the jobs work, and in a flood."""

import contextlib
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bangeod.client import GeoClient
from bangeod.errors import RefusedError
from tests.benchmarks import databases, flood, samples
from tests.benchmarks.load import Connection, exchange, rate
from tests.benchmarks.report import Section, medians, per_second, times, verdict
from tests.benchmarks.scale import Scale
from tests.benchmarks.serving import daemon
from tests.benchmarks.steps import share
from tests.support.feed import DEADLINE

CACHED = 100_000  # rows
BATCH = 10_000
REQUESTS = 4_000  # a turn
TURNS = 15
ROWS = 1_000_000  # half of them stale
FRESH = 100_000  # addresses to be written
EVERY = 0.002  # seconds between two requests that are timed
IDLE = 1_000  # requests that are timed undisturbed
SHARE_OF_CONSTANT = 0.8  # at least
BATCH_SHARE = 50  # an address of a batch takes at most this part of a GET
BUSY = 5.0  # times the idle 99th percentile, at most


def run(scale: Scale, directory: Path) -> Iterator[Section]:
    """Measure throughput, then latency under work and under attack."""
    ips = samples.addresses(scale.of(CACHED))
    database = directory / "cached.db"
    databases.make(database, ips, int(time.time()), stale=0)
    with daemon(directory, database) as (_, path), constant(directory / "constant.sock") as plain:
        figures = medians(_throughput(path, plain, ips, scale.of(REQUESTS)) for _ in range(scale.runs))
    batch = 1 / (figures["one"] * figures["batch"])
    rows = [
        ["GET, one connection", *_beside(figures, "one")],
        ["GET, sixteen connections", *_beside(figures, "sixteen")],
        [
            f"batch of {BATCH:,}",
            per_second(1, figures["batch"]),
            "",
            f"1/{batch:.0f}",
            *verdict(f"1/{BATCH_SHARE}", reached=batch >= BATCH_SHARE),
        ],
    ]
    notes = ("the last figure of a batch is its time per address as a share of a GET's",)
    yield Section("api", ("addresses", "bangeod", "constant", "ratio", "to reach", ""), rows, notes, figures)
    yield _under_work(scale, directory)
    yield flood.section(scale, directory)


def _beside(figures: dict[str, float], name: str) -> list[str]:
    ratio = figures[f"{name} ratio"]
    rates = (per_second(1, 1 / figures[key]) for key in (name, f"{name} constant"))
    return [*rates, times(ratio), *verdict(times(SHARE_OF_CONSTANT), reached=ratio >= SHARE_OF_CONSTANT)]


def _throughput(path: Path, plain: Path, ips: Sequence[str], requests: int) -> dict[str, float]:
    """Return requests a second, of a batch the seconds an address.

    Both servers are asked in turns, and the ratio is the median of the turns' ones: a turn later the machine may be in
    quite another mood.
    """
    asked = [ips[number % len(ips)] for number in range(requests)]
    figures = {}
    for name, connections in (("one", 1), ("sixteen", 16)):
        turns = [(rate(path, asked, connections), rate(plain, asked, connections)) for _ in range(TURNS)]
        figures[name], figures[f"{name} constant"] = map(statistics.median, zip(*turns, strict=True))
        figures[f"{name} ratio"] = statistics.median(own / constant for own, constant in turns)
    figures["batch"] = min(_batch(path, ips) for _ in range(10))
    return figures


def _batch(path: Path, ips: Sequence[str]) -> float:
    asked = [ips[number % len(ips)] for number in range(BATCH)]
    body = json.dumps({"ips": asked}).encode()
    head = b"POST /v1/lookup HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    with Connection(path) as connection:
        began = time.perf_counter()
        answer = exchange(connection, head + body)
        spent = time.perf_counter() - began
    if len(json.loads(answer)["entries"]) != BATCH:
        raise RuntimeError("the batch was not answered whole")
    return spent / BATCH


def _under_work(scale: Scale, directory: Path) -> Section:
    """Time single requests while a cleanup deletes half of a table and a flush writes."""
    ips = samples.addresses(scale.of(ROWS))
    fresh = samples.addresses(scale.of(FRESH), seed=9)
    database = directory / "work.db"
    databases.make(database, ips, int(time.time()), stale=50)
    with daemon(directory, database) as (_, path), GeoClient(str(path), timeout=DEADLINE, strict=True) as client:
        cached = [entry.ip for entry in client.lookup_cached_only(ips[:BATCH]) if entry.country_code]
        idle = _latencies(path, cached, IDLE)
        client.lookup_batch(fresh)
        jobs = [threading.Thread(target=_job, args=(path, name)) for name in ("geo_cache_cleanup", "geo_cache_flush")]
        for job in jobs:
            job.start()
        busy = []
        while any(job.is_alive() for job in jobs):
            busy += _latencies(path, cached, 100)
        for job in jobs:
            job.join()
    figures = {name: share(found, part) for name, found, part in _shares(idle, busy)}
    ratio = figures["busy 99 %"] / figures["idle 99 %"]
    rows = [
        [when, *(f"{figures[f'{when} {part}'] * 1000:.2f} ms" for part in ("median", "99 %")), "", "", ""]
        for when in ("idle", "busy")
    ]
    rows[1][3:] = times(ratio), *verdict(times(BUSY), reached=ratio <= BUSY)
    title = f"api while a cleanup of {len(ips) // 2:,} rows and a flush of {len(fresh):,} run"
    return Section(title, ("GET", "median", "99 %", "busy by idle", "at most", ""), rows, figures=figures)


def _shares(idle: list[float], busy: list[float]) -> Iterator[tuple[str, list[float], float]]:
    for when, found in (("idle", idle), ("busy", busy)):
        yield f"{when} median", found, 0.5
        yield f"{when} 99 %", found, 0.99


def _job(path: Path, name: str) -> None:
    with GeoClient(str(path), timeout=DEADLINE) as client, contextlib.suppress(RefusedError):
        client.run_job(name)  # a flush has begun by itself where so much is to be written


def _latencies(path: Path, ips: Sequence[str], count: int) -> list[float]:
    found = []
    with Connection(path) as connection:
        for number in range(count):
            began = time.perf_counter()
            exchange(connection, connection.get(ips[number % len(ips)]))
            found.append(time.perf_counter() - began)
            time.sleep(EVERY)
    return found


@contextmanager
def constant(path: Path) -> Iterator[Path]:
    """Run the server that answers a constant."""
    command = [sys.executable, "-m", "tests.benchmarks.constant_server", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if process.stdout is None or not process.stdout.readline():
            raise RuntimeError("the constant server did not begin")
        try:
            yield path
        finally:
            process.kill()
