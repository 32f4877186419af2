"""Run tests with another release of Debian's Python and libraries: ``python3 -m tests.on_debian SUITE ARGUMENT...``.

The release (``trixie``, ``sid``) is made by debootstrap where it is not in the cache yet, and packages for its Python
are fetched. The arguments go to pytest there; without any it is what needs no system, on all cores. Only root can.
"""

import sys
from collections.abc import Sequence
from typing import Final

from tests import in_root
from tests.support.mmdb.published import default_cache
from tests.systemd.packages import PackagesError, wheels
from tests.systemd.systems import NoSystemError, debian

DEFAULT: Final = ("--quiet", "--numprocesses=auto", "--hypothesis-profile=all-cores", "tests/unit", "tests/contract")
SCRIPT: Final = """
python3 -m venv /srv/venv
/srv/venv/bin/pip install --quiet --disable-pip-version-check --no-index --find-links=/srv/wheels "/srv/bangeod[dev]"
cd /srv/bangeod
/srv/venv/bin/python -V
exec /srv/venv/bin/python -m pytest -p no:cacheprovider "$@"
"""


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
        return in_root.UNSUITED
    return in_root.run(system, packages, SCRIPT, others or DEFAULT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
