"""Run tests with another release of Debian's Python and libraries: ``python3 -m tests.on_debian SUITE ARGUMENT...``.

The release (``trixie``, ``sid``) is made by debootstrap where it is not in the cache yet, and packages for its Python
are fetched. The arguments go to pytest there; without any it is what needs no system, on all cores. Only root can.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.support.mmdb.published import default_cache
from tests.systemd.packages import ROOT, PackagesError, wheels
from tests.systemd.systems import NoSystemError, System, debian

SCRIPT: Final = Path(__file__).with_suffix(".sh")
UNSUITED: Final = 77  # exit status where the release is not to be had; what test runners take for a skipped test
DEFAULT: Final = ("--quiet", "--numprocesses=auto", "--hypothesis-profile=all-cores", "tests/unit", "tests/contract")
ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}


def main(arguments: Sequence[str]) -> int:
    """Run pytest there and return its status."""
    if not arguments or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    suite, *others = arguments
    try:
        system = debian(suite)
        packages = wheels(default_cache() / "wheels", system.python, extras=("dev",))
    except (NoSystemError, PackagesError) as error:
        print(f"not tested on {suite}: {error}", file=sys.stderr)
        return UNSUITED
    return _run(system, packages, others or DEFAULT)


def _run(system: System, packages: Path, arguments: Sequence[str]) -> int:
    alone = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
    given = {name: os.environ[name] for name in ("CI",) if name in os.environ}
    with tempfile.TemporaryDirectory(prefix="bangeod-on-debian-") as scratch:
        script = ("sh", str(SCRIPT), scratch, str(system.root), str(ROOT), str(packages))
        return subprocess.run([*alone, *script, *arguments], env=ENVIRONMENT | given, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
