"""What the figures were measured on; they mean little without it."""

import os
import platform
import sqlite3
import sys
from pathlib import Path

from bangeod.store.sqlite.engine import engine


def facts(directory: Path) -> dict[str, object]:
    """Describe this machine, and the file system of the directory that the benchmarks work in."""
    return {
        "python": platform.python_version(),
        "sqlite of bangeod": f"{engine.sqlite_version} ({engine.__name__})",
        "sqlite of the web app": f"{sqlite3.sqlite_version} (sqlite3)",
        "cpus": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "file system": f"{file_system(directory)} at {directory}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def file_system(directory: Path) -> str:
    """Return the type of the file system that a directory lies on, as the kernel tells it."""
    best, kind = "", "unknown"
    try:
        mounts = Path("/proc/self/mounts").read_text()
    except OSError:
        return kind
    for line in mounts.splitlines():
        _, point, found, *_ = line.split()
        if directory.resolve().is_relative_to(point) and len(point) >= len(best):
            best, kind = point, found
    return kind
