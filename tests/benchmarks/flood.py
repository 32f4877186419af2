"""What honest clients, the memory and the watchdog notice of 200 connections that attack the API for half a minute."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Self

from bangeod.client import GeoClient
from tests.benchmarks import databases, samples
from tests.benchmarks.load import Connection, exchange
from tests.benchmarks.report import Section, milliseconds, verdict
from tests.benchmarks.scale import Scale
from tests.benchmarks.serving import daemon
from tests.benchmarks.steps import share
from tests.support.daemon.notify_socket import NotifySocket
from tests.support.feed import DEADLINE

CONNECTIONS = 200
SECONDS = 30
CACHED = 10_000  # rows
EVERY = 0.005  # seconds between two requests of a client
PATIENCE = 10.0  # seconds that a client waits for an answer
WATCHDOG = 2.0  # seconds
MOST_GROWTH = 64.0  # MiB


@dataclass
class Client:
    """An honest one. ``keeps`` its connection, or opens one for each request."""

    name: str
    keeps: bool
    spent: list[float] = field(default_factory=list)  # seconds an answer
    failed: int = 0

    def ask(self, path: Path, ips: list[str], going_on: Callable[[], bool]) -> None:
        """Ask about one address after the other."""
        connection: Connection | None = None
        number = 0
        while going_on():
            number += 1
            began = time.perf_counter()
            try:
                connection = connection or _connect(path)
                answer = exchange(connection, connection.get(ips[number % len(ips)]))
                self.failed += json.loads(answer)["status"] != "resolved"
                self.spent.append(time.perf_counter() - began)
            except (OSError, RuntimeError, ValueError):
                self.failed += 1
                connection = None
            if connection is not None and not self.keeps:
                connection.socket.close()
                connection = None
            time.sleep(EVERY)
        if connection is not None:
            connection.socket.close()


def section(scale: Scale, directory: Path) -> Section:
    """Ask undisturbed, then for as long as the attack lasts."""
    seconds = scale.of(SECONDS)
    ips = samples.addresses(scale.of(CACHED))
    database = directory / "flood.db"
    databases.make(database, ips, int(time.time()), stale=0)
    with NotifySocket(directory / "notify") as systemd:
        environ = {"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": f"{WATCHDOG * 1e6:.0f}"}
        with daemon(directory, database, environ) as (process, path):
            with GeoClient(str(path), timeout=DEADLINE, strict=True) as client:
                ips = [entry.ip for entry in client.lookup_cached_only(ips) if entry.country_code]
            idle = _honest(path, ips, seconds / 10)
            watch = Watch(process.process.pid, systemd)
            with _attack(path, seconds) as attackers, watch:
                flooded = _honest(path, ips, seconds)
            sent = json.loads(attackers.communicate(timeout=60)[0])
            attackers_failed = attackers.returncode != 0
    if attackers_failed:
        raise RuntimeError("the attack broke off")
    return _told(seconds, idle, flooded, watch, sent)


def _told(seconds: int, idle: list[Client], flooded: list[Client], watch: "Watch", sent: Mapping[str, int]) -> Section:
    rows = [
        [f"{when}, {client.name}", f"{len(client.spent):,}", f"{client.failed}", *map(milliseconds, _times(client))]
        for when, clients in (("idle", idle), ("flood", flooded))
        for client in clients
    ]
    failed, gap = sum(client.failed for client in flooded), watch.longest_gap()
    bars = (
        (f"requests that failed: {failed}", *verdict("none", reached=not failed)),
        (
            f"growth of memory: {watch.growth:.1f} MiB",
            *verdict(f"{MOST_GROWTH:.0f}", reached=watch.growth <= MOST_GROWTH),
        ),
        (
            f"longest time between {len(watch.pings)} watchdog pings: {gap:.2f} s",
            *verdict(f"{WATCHDOG:.0f}", reached=gap <= WATCHDOG),
        ),
    )
    notes = [f"{said} (at most {bar}: {reached})" for said, bar, reached in bars]
    notes.append("attacks: " + ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in sorted(sent.items())))
    figures: dict[str, object] = {"failed": failed, "growth MiB": watch.growth, "longest gap": gap, "attacks": sent}
    for when, clients in (("idle", idle), ("flood", flooded)):
        for client in clients:
            figures[f"{when} {client.name}"] = {"answers": len(client.spent), "99 %": share(client.spent, 0.99)}
    title = f"api in a flood: {CONNECTIONS} connections attack for {seconds} s"
    return Section(title, ("GET", "answers", "failed", "median", "99 %", "longest"), rows, notes, figures)


def _times(client: Client) -> Iterator[float]:
    yield from (share(client.spent, part) for part in (0.5, 0.99, 1.0))


def _connect(path: Path) -> Connection:
    connection = Connection(path)
    connection.socket.settimeout(PATIENCE)
    return connection


def _honest(path: Path, ips: list[str], seconds: float) -> list[Client]:
    """Let two clients ask for so long."""
    until = time.monotonic() + seconds
    clients = [Client("one connection", keeps=True), Client("a connection each", keeps=False)]
    threads = [
        threading.Thread(target=client.ask, args=(path, ips, lambda: time.monotonic() < until)) for client in clients
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return clients


class Watch:
    """The daemon's memory, and when its watchdog pings came, while the ``with`` block lasts."""

    def __init__(self, pid: int, systemd: NotifySocket) -> None:
        self._statm = Path(f"/proc/{pid}/statm")
        self._systemd = systemd
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._before = self._memory()
        self.growth = 0.0  # MiB
        self.pings: list[float] = []
        self._ends: list[float] = []

    def __enter__(self) -> Self:
        self._ends.append(time.monotonic())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._ends.append(time.monotonic())

    def longest_gap(self) -> float:
        """Return the longest time without a ping, in seconds."""
        return max(later - earlier for earlier, later in pairwise(sorted([*self._ends, *self.pings])))

    def _look(self) -> None:
        mark = self._systemd.mark()
        while not self._done.wait(0.02):
            now = time.monotonic()
            messages = self._systemd.messages(mark)
            mark += len(messages)
            self.pings += [now for message in messages if "WATCHDOG" in message]
            self.growth = max(self.growth, self._memory() - self._before)

    def _memory(self) -> float:
        """Return what the daemon has in use, in MiB."""
        pages = int(self._statm.read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


@contextmanager
def _attack(path: Path, seconds: int) -> Iterator["subprocess.Popen[str]"]:
    """Start the attack; it ends by itself."""
    command = [sys.executable, "-m", "tests.benchmarks.attack", str(path), str(CONNECTIONS), str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    except BaseException:
        process.kill()
        process.wait()
        raise
