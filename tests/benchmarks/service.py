"""The service under a booted systemd: how soon ``systemctl start`` is done, and what it takes while nothing happens."""

import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks import databases, samples
from tests.benchmarks.report import Section, medians, milliseconds, verdict
from tests.benchmarks.scale import Scale
from tests.systemd.installed import installed
from tests.systemd.machine import Machine, MachineError
from tests.systemd.packages import PackagesError
from tests.systemd.service import DATABASE, PYTHON, UNIT, WEB_USER, Service

ROWS = 100_000
SETTLE, WATCH = 10.0, 60.0  # seconds: until it is idle, and for how long it is watched then
IMPORTS = "import bangeod.cli.run, bangeod.service.daemon"

START = 2.0  # seconds, at most
WAKE_UPS = 1.0  # a second, at most
MEMORY = 80.0  # MiB, at most

# How often the threads of a process have waited for something, and what it has in memory: man 5 proc.
LOOK = "cat /proc/$0/task/*/status | awk '/^voluntary_ctxt_switches/ {n += $2} /^VmRSS/ {kib = $2} END {print n, kib}'"


def run(scale: Scale, directory: Path) -> Iterator[Section]:
    """Measure it, where systemd can be booted in a container."""
    title = "the service under systemd"
    try:
        with installed() as machine:
            yield from _sections(scale, directory, machine, title)
    except (MachineError, PackagesError) as error:
        yield Section(title, ("not measured",), [[str(error)]])


def _sections(scale: Scale, directory: Path, machine: Machine, title: str) -> Iterator[Section]:
    ips = samples.addresses(scale.of(ROWS))
    databases.make(directory / "full.db", ips, int(time.time()))
    service = Service(machine)
    spent = medians(_start(service, directory / "full.db", len(ips)) for _ in range(scale.runs))
    *plain, (whole, seconds) = spent.items()
    rows = [[name, milliseconds(took), "", ""] for name, took in plain]
    rows.append([whole, milliseconds(seconds), *verdict(f"{START:g} s", reached=seconds <= START)])
    yield Section(title, ("", "time", "at most", ""), rows, figures=spent)
    yield _idle(scale, machine)


def _start(service: Service, database: Path, count: int) -> dict[str, float]:
    """Start it on the database; each time has the way into the machine in it."""
    machine = service.machine
    service.stop()
    machine.write(DATABASE, database.read_bytes())
    machine.run("sh", "-ec", f"rm -f {DATABASE}-*; chown {WEB_USER}:{WEB_USER} {DATABASE}; chmod 660 {DATABASE}; sync")
    return {
        "true": _timed(machine, "true"),
        "python -c pass": _timed(machine, PYTHON, "-c", "pass"),
        "importing the daemon's modules": _timed(machine, PYTHON, "-c", IMPORTS),
        f"systemctl start to active, {count:,} rows": _timed(machine, "systemctl", "start", UNIT),
    }


def _timed(machine: Machine, *command: str) -> float:
    began = time.perf_counter()
    machine.run(*command)
    return time.perf_counter() - began


def _idle(scale: Scale, machine: Machine) -> Section:
    """Watch it with an empty cache, with all defaults."""
    service = Service(machine)
    service.configure({"log.level": "info"})
    service.start()
    time.sleep(SETTLE)
    before, _ = _look(service)
    seconds = scale.of(int(WATCH))
    time.sleep(seconds)
    after, memory = _look(service)
    wake_ups = (after - before) / seconds
    rows = [
        ["wake-ups a second", f"{wake_ups:.2f}", *verdict(f"{WAKE_UPS:g}", reached=wake_ups <= WAKE_UPS)],
        ["memory (RSS)", f"{memory:.1f} MiB", *verdict(f"{MEMORY:g} MiB", reached=memory <= MEMORY)],
    ]
    figures = {"wake-ups": wake_ups, "memory": memory}
    return Section(f"the service, idle for {seconds} s", ("", "", "at most", ""), rows, figures=figures)


def _look(service: Service) -> tuple[int, float]:
    """Return how often its threads have woken up so far, and its memory in MiB."""
    switches, kib = map(int, service.machine.run("sh", "-c", LOOK, str(service.pid)).stdout.split())
    return switches, kib / 1024
