"""How soon commands are done, beside a running daemon."""

import resource
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.benchmarks import databases, samples
from tests.benchmarks.against.builds import Build, measured_environment
from tests.benchmarks.against.comparison import Figure, Figures
from tests.benchmarks.against.trial import CACHED, IPV6, daemon_on, repeated
from tests.benchmarks.report import milliseconds
from tests.benchmarks.scale import Scale

COMMAND_SECONDS: Final = 60  # that a command may take


class Commands:
    """What a person types, beside a running daemon."""

    title = "commands, beside a running daemon"

    def __init__(self, scale: Scale, directory: Path) -> None:
        self._ips = samples.addresses(scale.of(CACHED), ipv6=IPV6)
        self._times = repeated(scale)
        self._database = directory / "template.db"
        databases.make(self._database, self._ips, int(time.time()), stale=0)
        self.notes = (f"the time of the whole process; medians of {self._times} a turn",)

    def measure(self, build: Build, home: Path) -> Figures:
        """Run each, one after the other, several times."""
        with daemon_on(build, home, self._database) as (daemon, _):
            daemon.wait_until_loaded()
            config = ("--config", str(daemon.config))
            commands = (("--version",), ("status", *config), ("lookup", self._ips[0], *config), ("check", *config))
            runs = [[_spent(build, command, home) for command in commands] for _ in range(self._times)]
        figures: dict[Figure, float] = {}
        for command, spent in zip(commands, zip(*runs, strict=True), strict=True):
            whole, processor = map(statistics.median, zip(*spent, strict=True))
            figures[Figure(f"bangeod {command[0]}", milliseconds)] = whole
            figures[Figure(f"bangeod {command[0]}, processor time", milliseconds)] = processor
        return figures


def _spent(build: Build, command: Sequence[str], home: Path) -> tuple[float, float]:
    """Run a command of bangeod's; return its seconds, and the processor's. A RuntimeError where it could not work."""
    processor, began = _of_children(), time.perf_counter()
    done = subprocess.run(
        [build.program, *command],
        cwd=home,
        env=measured_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    spent = time.perf_counter() - began, _of_children() - processor
    if done.returncode > (command[0] == "check"):  # there may well be something to be said of such an installation
        raise RuntimeError(f"{build.name}: bangeod {' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return spent


def _of_children() -> float:
    """Return the processor time of the processes that were started here and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
