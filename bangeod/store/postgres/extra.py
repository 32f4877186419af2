"""What PostgreSQL needs beside bangeod itself: its name, and the command that installs it."""

import shlex
import sys
from typing import Final

NAME: Final = "bangeod[postgres]"
NOT_INSTALLED: Final = f"PostgreSQL needs the extra {NAME}, which is not installed"

_PACKAGED: Final = "/usr/lib/bangeod"  # contrib/debian/build
_INSTALLED: Final = "/opt/bangeod"  # contrib/install


def missing() -> str:
    """Say that it is not installed, and which command installs it."""
    return f"{NOT_INSTALLED}: {command()}"


def command() -> str:
    """Return what installs it, for the way in which this bangeod was installed."""
    if sys.prefix == _PACKAGED:
        return "contrib/debian/build --postgres, in a clone of bangeod, makes a package that has it"
    if sys.prefix == _INSTALLED:
        return "contrib/install --postgres, as root in a clone of bangeod"
    return f"{shlex.quote(sys.executable)} -m pip install '{NAME}'"
