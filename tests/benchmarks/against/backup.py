"""What a backup and a cleanup do to each other."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from tests.benchmarks import databases, samples
from tests.benchmarks.against.backup_process import backup, finished
from tests.benchmarks.against.builds import Build
from tests.benchmarks.against.comparison import Figure, Figures
from tests.benchmarks.against.trial import IPV6, ROWS, daemon_on, in_mib, in_seconds
from tests.benchmarks.scale import QUICK_DIVISOR, Scale

BACKUP_LATER: Final = 1.5  # seconds after the job's begin


class Backup:
    """A backup in small steps, of a database that a cleanup works on."""

    def __init__(self, scale: Scale, directory: Path) -> None:
        self._rows = scale.of(ROWS)
        self._template = directory / "template.db"
        ips = samples.addresses(self._rows, ipv6=IPV6)
        databases.make(self._template, ips, int(time.time()), stale=50)
        self._later = BACKUP_LATER / (QUICK_DIVISOR if scale.quick else 1)
        with backup(self._template, directory / "copy.db") as process:
            alone = finished(process)
        size = self._template.stat().st_size
        self.title = f"a backup of {in_mib(size)}, beside geo_cache_cleanup"
        self.notes = (
            f"begun {in_seconds(self._later)} after the job",
            f"by itself, a backup takes {in_seconds(alone.seconds)} and writes {in_mib(alone.written)}",
        )

    def measure(self, build: Build, home: Path) -> Figures:
        """Begin the job, and soon after it the backup."""
        settings = {"cache.max_entries": 2 * self._rows}
        with daemon_on(build, home, self._template, settings) as (daemon, database), ThreadPoolExecutor() as threads:
            daemon.wait_until_loaded()
            job = threads.submit(daemon.run_job, "geo_cache_cleanup")
            time.sleep(self._later)
            with backup(database, home / "copy.db") as process:
                took = finished(process)
            report = job.result()
        return {
            Figure("the backup's time", in_seconds): took.seconds,
            Figure("written by the backup", in_mib): took.written,
            Figure("the job's time", in_seconds): report["duration"],
        }
