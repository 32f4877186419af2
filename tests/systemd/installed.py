"""A machine on which contrib/install has installed bangeod, beside a BanGUI that was there first."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from tests.systemd import machine as machines
from tests.systemd.machine import Machine, MachineError
from tests.systemd.packages import ROOT, wheels
from tests.systemd.service import MAKE_DATABASE, SOURCE, WEB_USER

WHEELS = "/srv/wheels"
CACHE = ROOT / ".pytest_cache" / "wheels"
INSTALL = (f"{SOURCE}/contrib/install", "--wheels", WHEELS)
SECONDS = 300.0  # that the installation may take


@contextmanager
def installed() -> Iterator[Machine]:
    """Boot one with this checkout in SOURCE and the packages in WHEELS; the service does not run yet.

    Raises MachineError or PackagesError where that can't be done here.
    """
    reason = machines.missing()
    if reason:
        raise MachineError(reason)
    machine = Machine({SOURCE: ROOT, WHEELS: wheels(CACHE)})
    machine.start()
    with closing(machine):
        machine.run("useradd", "--system", "--user-group", "--no-create-home", WEB_USER)
        machine.run(*INSTALL, timeout=SECONDS)
        machine.run("sh", "-ec", MAKE_DATABASE)
        yield machine
