"""From the start of `bangeod run` to READY, as systemd sees it."""

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import tomli_w

from tests.benchmarks import databases, samples
from tests.benchmarks.report import Section, medians, milliseconds
from tests.benchmarks.scale import Scale

ROWS = 100_000
TIMEOUT = 60.0  # seconds
IMPORTS = "import bangeod.cli.daemon"


def run(scale: Scale, directory: Path) -> Iterator[Section]:
    """Measure the start, and what of it is Python's and the imports'."""
    ips = samples.addresses(scale.of(ROWS))
    full, empty = directory / "full.db", directory / "empty.db"
    databases.make(full, ips, int(time.time()))
    databases.make(empty, (), int(time.time()))
    spent = medians(
        {
            "python -c pass": _command([sys.executable, "-c", "pass"]),
            "importing the daemon's modules": _command([sys.executable, "-c", IMPORTS]),
            "bangeod run to READY, empty database": _until_ready(empty, directory),
            f"bangeod run to READY, {len(ips):,} rows": _until_ready(full, directory),
        }
        for _ in range(scale.runs)
    )
    rows = [[name, milliseconds(seconds)] for name, seconds in spent.items()]
    yield Section("start", ("", "time"), rows, figures=spent)


def _command(command: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - began


def _until_ready(template: Path, directory: Path) -> float:
    with tempfile.TemporaryDirectory(dir=directory) as own:
        home = Path(own)
        config = _config(home, databases.copy(template, home / "bangui.db"))
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as notifications:
            notifications.bind(str(home / "notify"))
            notifications.settimeout(TIMEOUT)
            command = [sys.executable, "-m", "bangeod", "run", "--config", str(config)]
            environment = {"NOTIFY_SOCKET": str(home / "notify"), "PATH": "/usr/bin:/bin"}
            began = time.perf_counter()
            with (home / "log").open("wb") as log, subprocess.Popen(command, env=environment, stderr=log) as daemon:
                try:
                    while b"READY=1" not in notifications.recv(4096).split(b"\n"):
                        pass
                    return time.perf_counter() - began
                finally:
                    daemon.terminate()
                    daemon.wait(TIMEOUT)


def _config(home: Path, database: Path) -> Path:
    """Write a config with which the daemon starts and has nothing to do for a while."""
    content = {
        "database": {"path": str(database)},
        "state": {"directory": str(home)},
        "api": {"socket": str(home / "socket")},
        "jobs": {name: {"enabled": False} for name in ("geo_cache_cleanup", "session_cleanup")},
    }
    config = home / "bangeod.toml"
    config.write_text(tomli_w.dumps(content))
    return config
