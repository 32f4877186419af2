"""One build's daemon as the world sees it: its start, its answers, what it takes of memory and processor.

It is asked over its socket with plain HTTP and looked at in /proc: no module of the build is imported here, since in
another build it may have another name.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.against.builds import Build, measured_environment
from tests.benchmarks.load import Connection, exchange
from tests.support.daemon.installation import as_toml
from tests.support.daemon.notify_socket import NotifySocket

START_SECONDS: Final = 300.0  # a million rows and a busy machine
ANSWER_SECONDS: Final = 3600.0  # the longest job
LOOK_EVERY: Final = 0.05  # seconds
LOG_END: Final = 2_000  # characters of it that an error shows
JOBS: Final = ("geo_cache_flush", "geo_re_resolve", "geo_cache_cleanup", "session_cleanup")


@dataclass(frozen=True, slots=True)
class MeasuredDaemon:
    """A daemon that is ready."""

    build: Build
    pid: int
    config: Path
    socket: Path
    began: float  # its start, by perf_counter
    ready_after: float  # seconds since then

    # --- what it answers ---

    def get(self, path: str) -> Any:
        """Return the document at a path."""
        return self._ask(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())

    def post(self, path: str, document: object) -> Any:
        """Send a document; return the answer."""
        return self._ask(post_request(path, document))

    def _ask(self, request: bytes) -> Any:
        with Connection(self.socket) as connection:
            connection.socket.settimeout(ANSWER_SECONDS)
            return json.loads(exchange(connection, request))

    def run_job(self, name: str) -> dict[str, Any]:
        """Run a job; return its report. A RuntimeError where it did not do all that was to be done."""
        report: dict[str, Any] = self.post(f"/v1/jobs/{name}/run", {})
        if report["outcome"] != "done":
            raise RuntimeError(f"{self.build.name}: {name} ended otherwise than done: {report}")
        return report

    def is_loaded(self) -> bool:
        """Say whether all rows are in memory, and all its files in use."""
        status = self.get("/v1/status")
        return status["cache"]["loaded"] and all(file["status"] == "loaded" for file in status["sources"]["mmdb"])

    def wait_until_loaded(self) -> float:
        """Wait until that is so; return the seconds since its start."""
        while not self.is_loaded():
            if time.perf_counter() - self.began > START_SECONDS:
                raise RuntimeError(f"{self.build.name}: not all is loaded in time: {self.get('/v1/status')}")
            time.sleep(LOOK_EVERY)
        return time.perf_counter() - self.began

    def entries(self) -> int:
        """Return how many entries memory holds."""
        return int(self.get("/v1/status")["cache"]["entries"])

    # --- what it takes ---

    def memory(self) -> tuple[int, int]:
        """Return the resident set in bytes: all of it (RSS), and with what is shared counted in parts only (PSS)."""
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()[1:]
        kib = {name: int(value.split()[0]) for name, value in (line.split(":") for line in lines)}
        return kib["Rss"] << 10, kib["Pss"] << 10

    def cpu_seconds(self) -> float:
        """Return the processor time that it has taken so far, of the kernel too."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def post_request(path: str, document: object) -> bytes:
    """Return the request that sends a document to a path."""
    body = json.dumps(document).encode()
    return b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(body)) + body


@contextmanager
def measured_daemon(
    build: Build, home: Path, database: Path, settings: Mapping[str, object] | None = None
) -> Iterator[MeasuredDaemon]:
    """Start a daemon whose jobs run only when they are asked to; hand it out when it is ready, kill it at the end.

    ``home`` is an empty directory for all that it writes beside the database; ``settings`` have dotted keys.
    """
    config, socket, log = home / "bangeod.toml", home / "socket", home / "log"
    config.write_text(as_toml(_settings(home, database, socket) | dict(settings or {})))
    with NotifySocket(home / "notify") as systemd, log.open("wb") as output:
        environment = measured_environment(NOTIFY_SOCKET=str(systemd.path))
        command = [build.program, "run", "--config", str(config)]
        began = time.perf_counter()
        with subprocess.Popen(command, cwd=home, env=environment, stdout=output, stderr=output) as process:
            try:
                _wait_until_ready(build, process, systemd, log)
                yield MeasuredDaemon(build, process.pid, config, socket, began, time.perf_counter() - began)
            finally:
                process.kill()  # what it has not written yet is of no use


def _settings(home: Path, database: Path, socket: Path) -> dict[str, object]:
    """Return settings that every build knows: those of the documented config."""
    return {
        "database.path": str(database),
        "state.directory": str(home),
        "api.socket": str(socket),
        "log.format": "json",
        **{f"jobs.{name}.interval": "24h" for name in JOBS},
        **{f"jobs.{name}.timeout": "1h" for name in JOBS},
        # Those would be caught up with shortly after the start; by hand they run all the same.
        "jobs.geo_cache_cleanup.enabled": False,
        "jobs.session_cleanup.enabled": False,
    }


def _wait_until_ready(build: Build, process: "subprocess.Popen[bytes]", systemd: NotifySocket, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            systemd.wait_for("READY", timeout=1.0)
        except AssertionError:
            if process.poll() is None and time.monotonic() < deadline:
                continue
            told = log.read_text(errors="replace")[-LOG_END:]
            raise RuntimeError(f"the daemon of {build.name} did not become ready; it said last:\n{told}") from None
        return
