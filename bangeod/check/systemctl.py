"""Reading the properties of a unit from ``systemctl show``."""

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

ASK_SECONDS: Final = 5.0
SYSTEMD_RUNS: Final = Path("/run/systemd/system")  # sd_booted(3)


def show(unit: str, properties: Iterable[str]) -> Mapping[str, str]:
    """Return these properties of the unit in force; empty if there is no such unit, or no systemd."""
    if not SYSTEMD_RUNS.is_dir():
        return {}
    command = ["systemctl", "show", f"--property={','.join(('LoadState', *properties))}", unit]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=ASK_SECONDS, check=True)  # noqa: S603 - no input in it
    except (OSError, subprocess.SubprocessError):
        return {}
    return understood(told.stdout)


def understood(told: str) -> Mapping[str, str]:
    """Parse the output; empty if systemd has no such unit."""
    shown = dict(line.partition("=")[::2] for line in told.splitlines())
    return shown if shown.get("LoadState") == "loaded" else {}
