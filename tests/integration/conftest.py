"""What the tests of the daemon's behaviour share beside tests/conftest.py."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import Start
from tests.support.daemon.installation import Installation, every, text
from tests.support.daemon.process import DaemonProcess, bangeod
from tests.support.fail2ban import database
from tests.support.mmdb.files import nested, write_mmdb
from tests.support.mmdb.published import NotToBeHadError, default_cache

__all__ = ["Start"]


NOBODY = 65_534
READ_ALL = "--inh-caps=+dac_read_search"


@pytest.fixture
def as_nobody() -> tuple[str, ...]:
    """Give the words that start a program as a user whom file modes bind: none, or setpriv where this is root."""
    if os.geteuid() != 0:
        return ()
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root, whom file modes don't bind, needs setpriv to become somebody else")
    user = (setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    plain = (*user, "--inh-caps=-all")
    if bangeod("--version", through=plain).returncode == 0:
        return plain
    # This checkout is where only root can read. With this one capability it is read, and still nothing is written.
    return (*user, READ_ALL, READ_ALL.replace("inh", "ambient"))


@pytest.fixture
def place_of_nobody(as_nobody: tuple[str, ...]) -> Iterator[Installation]:
    """Give what ``place`` gives, belonging to the user whom ``as_nobody`` becomes."""
    with tempfile.TemporaryDirectory(prefix="bangeod-") as directory:  # pytest's own lets nobody but its user in
        place = Installation(Path(directory) / "bangeod")
        place.make()
        if as_nobody:
            for path in (place.home.parent, place.home, *place.home.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
        yield place


class LateMmdb(NamedTuple):
    """A daemon to which an MMDB comes while it runs."""

    daemon: DaemonProcess
    place: Installation
    mmdb: Path


@pytest.fixture(scope="session")
def late_mmdb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LateMmdb]:
    """Give a daemon that will look at its MMDBs again within a minute; other tests can run meanwhile."""
    home = tmp_path_factory.mktemp("late")
    place = Installation(home / "bangeod")
    place.make()
    place.insert(rows=[("8.8.8.8", None, text())])
    mmdb = home / "late.mmdb"
    place.configure(every("100ms", "geo_re_resolve"), {"geo.mmdb": [str(mmdb)]})
    with DaemonProcess(place.config) as daemon:
        daemon.wait_for("mmdb_missing")
        daemon.wait_for("geo_re_resolve_complete", resolved=1)
        place.insert(rows=[("2001:4860::1", None, text())])  # the embedded default knows no IPv6
        daemon.wait_for("geo_re_resolve_complete", resolved=0)
        write_mmdb(mmdb, {"2001:4860::/32": nested("US")})
        yield LateMmdb(daemon, place, mmdb)


@pytest.fixture(scope="session")
def fail2bans_modules() -> Path:
    """Give the directory of fail2ban's own modules, for the class Fail2ban."""
    try:
        return database.find(default_cache())
    except NotToBeHadError as error:
        pytest.skip(str(error))
