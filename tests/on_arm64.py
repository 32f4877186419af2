"""Build the Debian package for arm64 and use it there: ``python3 -m tests.on_arm64 [SUITE]``, ``trixie`` by default.

On another processor the programs run under qemu, and all of it takes half an hour or more; the release is made by
debootstrap where it is not in the cache yet. Systemd is not booted: the daemon runs in the foreground. Only root can.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests import in_root
from tests.support.mmdb.published import default_cache
from tests.systemd.packages import PackagesError, wheels
from tests.systemd.systems import NoSystemError, debian

ARM64: Final = "arm64"  # as Debian calls it
MACHINE: Final = "aarch64"  # as Linux and Python do
EMULATION: Final = Path(f"/proc/sys/fs/binfmt_misc/qemu-{MACHINE}")
SCRIPT: Final = (Path(__file__).with_suffix(".sh")).read_text()


def main(arguments: Sequence[str]) -> int:
    """Try it and return the status."""
    suite = arguments[0] if arguments else "trixie"
    if suite.startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        _require_processor()
        system = debian(suite, architecture=ARM64)
        packages = wheels(default_cache() / "wheels", system.python, machine=MACHINE)
    except (NoSystemError, PackagesError) as error:
        print(f"not tried on {suite} for {ARM64}: {error}", file=sys.stderr)
        return in_root.UNSUITED
    return in_root.run(system, packages, SCRIPT)


def _require_processor() -> None:
    try:
        own = subprocess.run(("dpkg", "--print-architecture"), capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoSystemError(f"dpkg does not say what this computer is: {error}") from None
    if own.strip() != ARM64 and not EMULATION.exists():
        raise NoSystemError("nothing runs its programs here (apt-get install qemu-user-static binfmt-support)")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
