"""The daemon that the API's figures are of."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import tomli_w

from tests.support.daemon.process import DaemonProcess


@contextmanager
def daemon(
    directory: Path, database: Path, environ: Mapping[str, str] | None = None
) -> Iterator[tuple[DaemonProcess, Path]]:
    """Run a daemon whose jobs run when they are asked to only; hand out it and its socket."""
    socket = directory / f"{database.stem}.sock"
    content = {
        "database": {"path": str(database)},
        "state": {"directory": str(directory)},
        "api": {"socket": str(socket)},
        "log": {"format": "json"},
        "jobs": {
            name: {"interval": "24h"} | ({"timeout": "10m"} if name == "geo_cache_cleanup" else {})
            for name in ("geo_cache_flush", "geo_re_resolve", "geo_cache_cleanup", "session_cleanup")
        }
        | {"session_cleanup": {"enabled": False}, "geo_cache_cleanup": {"enabled": False, "timeout": "10m"}},
    }
    config = directory / f"{database.stem}.toml"
    config.write_text(tomli_w.dumps(content))
    with DaemonProcess(config, environ=environ) as running:
        running.wait_for("ready", timeout=120)
        yield running, socket
