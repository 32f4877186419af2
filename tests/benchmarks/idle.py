"""What an idle daemon writes to the disk: watched for a while with all defaults, and what an hour has besides."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from bangeod.client.command_client import CommandClient
from tests.benchmarks.report import Section, verdict
from tests.benchmarks.scale import Scale
from tests.support.daemon.installation import Installation
from tests.support.daemon.process import DaemonProcess

SETTLE, WATCH = 10.0, 120.0  # seconds: until it is idle, and for how long it is watched then
SAVES: Final = 5
HOUR: Final = 3_600.0
AN_HOUR: Final = 2  # saves at most: of the retries, and of the two cleanups, which come within seconds
MOST = 100.0  # KiB an hour; what journald writes of the daemon's lines is its own


def run(scale: Scale, directory: Path) -> Iterator[Section]:
    """Watch a daemon whose files are in ``directory``: on a disk, or nothing is counted."""
    place = Installation(directory / "idle")
    place.make()
    place.configure({"api.enabled": True, "log.level": "info"})
    with DaemonProcess(place.config) as daemon:
        daemon.wait_until_loaded()
        time.sleep(scale.of(int(SETTLE)))
        seconds = scale.of(int(WATCH))
        idle = _spent(daemon, lambda: time.sleep(seconds)) / seconds * HOUR
        with CommandClient(str(place.socket), timeout=30, strict=True) as client:
            save = _spent(daemon, lambda: _save(client)) / SAVES
    whole = idle + AN_HOUR * save
    rows = [
        ["without work", f"{idle:.1f} KiB an hour", "", ""],
        ["a save of state.toml", f"{save:.1f} KiB", "", ""],
        ["an hour at most", f"{whole:.1f} KiB", *verdict(f"{MOST:g} KiB", reached=whole <= MOST)],
    ]
    figures = {"idle": idle, "save": save, "hour": whole}
    title = f"what an idle daemon writes to the disk, watched for {seconds} s"
    yield Section(title, ("", "written", "at most", ""), rows, figures=figures)


def _save(client: CommandClient) -> None:
    """Have the state saved as if hours lay in between: what is still to be written out is not counted again."""
    for _ in range(SAVES):
        os.sync()
        client.run_job("session_cleanup")


def _spent(daemon: DaemonProcess, work: Callable[[], object]) -> float:
    """Return the KiB that the daemon has had written to a disk meanwhile (proc_pid_io(5))."""
    before = _written(daemon)
    work()
    return (_written(daemon) - before) / 1024


def _written(daemon: DaemonProcess) -> int:
    fields = dict(line.split(": ") for line in Path(f"/proc/{daemon.process.pid}/io").read_text().splitlines())
    return int(fields["write_bytes"])
