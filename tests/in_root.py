"""Running a script on a copy of a system's file system, as root: for what needs no systemd there."""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.systemd.packages import ROOT
from tests.systemd.systems import System

SCRIPT: Final = Path(__file__).with_suffix(".sh")
UNSUITED: Final = 77  # exit status where the system is not to be had; what test runners take for a skipped test
ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
ALONE: Final = ("unshare", "--mount", "--pid", "--fork", "--kill-child")


def run(system: System, wheels: Path, script: str, arguments: Sequence[str] = ()) -> int:
    """Run a shell script with the checkout in /srv/bangeod and Python packages in /srv/wheels; return its status."""
    given = {name: os.environ[name] for name in ("CI",) if name in os.environ}
    with tempfile.TemporaryDirectory(prefix="bangeod-in-root-") as scratch:
        command = (*ALONE, "sh", str(SCRIPT), scratch, str(system.root), str(ROOT), str(wheels), script, *arguments)
        return subprocess.run(command, env=ENVIRONMENT | given, check=False).returncode
