"""A second process that makes a backup as `sqlite3 web.db ".backup copy.db"` does: 100 pages at a time.

    python -m tests.benchmarks.against.backup_process DATABASE COPY

SQLite begins anew whenever another process commits in between. What it took is printed as JSON: seconds, and bytes
written. It uses Python's own SQLite, as a backup script does.
"""

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

PAGES = 100
SECONDS = 3600


class Took(NamedTuple):
    """What a backup took."""

    seconds: float
    written: int  # bytes


@contextmanager
def backup(database: Path, copy: Path) -> Iterator["subprocess.Popen[str]"]:
    """Begin a backup in a process of its own; see ``finished``."""
    command = [sys.executable, "-m", "tests.benchmarks.against.backup_process", str(database), str(copy)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()  # no error where it has ended


def finished(process: "subprocess.Popen[str]") -> Took:
    """Wait until it is done; return what it took. A RuntimeError where it failed."""
    output, _ = process.communicate(timeout=SECONDS)
    if process.returncode:
        raise RuntimeError(f"the backup ended with {process.returncode}")
    return Took(*json.loads(output))


def main(database: str, copy: str) -> None:
    """Make one."""
    began = time.monotonic()
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target, pages=PAGES, sleep=0)
    print(json.dumps(Took(time.monotonic() - began, _written())))


def _written() -> int:
    """Return the bytes that this process has written: man 5 proc, of /proc/PID/io."""
    return int(Path("/proc/self/io").read_text().partition("wchar: ")[2].split()[0])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
