"""A machine on which contrib/install has installed bangeod, beside a BanGUI that was there first."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.support.mmdb.published import default_cache
from tests.systemd import machine as machines
from tests.systemd.machine import Machine, MachineError
from tests.systemd.packages import ROOT, PackagesError, wheels
from tests.systemd.service import MAKE_DATABASE, SOURCE, WEB_USER
from tests.systemd.systems import HERE, SYSTEMS, NoSystemError, System

WHEELS = "/srv/wheels"
CACHE = ROOT / ".pytest_cache" / "wheels"
INSTALL = (f"{SOURCE}/contrib/install", "--wheels", WHEELS)
SECONDS = 300.0  # that the installation may take
BREAKS_OFF = """#!/bin/sh -e
[ "$1 $2 $3" = "-m venv --clear" ] || exec /usr/bin/python3 "$@"
exec 9>&- # the installation's lock ends with it
find "$4" -mindepth 1 -delete
kill -KILL $PPID
"""


@contextmanager
def installed(name: str = HERE) -> Iterator[Machine]:
    """Boot one with this checkout in SOURCE and the packages in WHEELS; the service does not run yet.

    Raises MachineError or PackagesError where that can't be done here, and NoSystemError where there is no such system.
    """
    reason = machines.missing()
    if reason:
        raise MachineError(reason)
    system = SYSTEMS[name]()
    machine = Machine({SOURCE: ROOT, WHEELS: _packages(system)}, system.root, is_unified=not system.is_here)
    machine.start()
    with closing(machine):
        machine.run("useradd", "--system", "--user-group", "--no-create-home", WEB_USER)
        machine.run(*INSTALL, timeout=SECONDS)
        machine.run("sh", "-ec", MAKE_DATABASE)
        yield machine


def _packages(system: System) -> Path:
    if system.is_here:
        return wheels(CACHE, extras=("postgres",))
    try:
        return wheels(default_cache() / "wheels", system.python, extras=("postgres",))
    except PackagesError as error:
        raise NoSystemError(f"no packages for the Python of {system.name}: {error}") from None


def break_off(machine: Machine) -> None:
    """Have an installation killed when it has emptied the program's directory and made nothing in it yet."""
    machine.write("/srv/breaks-off", BREAKS_OFF)
    machine.run("sh", "-ec", "chmod 755 /srv/breaks-off; rm /opt/bangeod/bin/python3 /opt/bangeod/installed")
    assert machine.run(*INSTALL, "--python", "/srv/breaks-off", check=False).returncode != 0
    machine.run("rm", "/srv/breaks-off")
    assert machine.run("ls", "-A", "/opt/bangeod").stdout == ""
