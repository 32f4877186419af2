"""What the tests against the real daemon share: an installation of its own for each, daemons that always end."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests import real_fail2ban
from tests.daemon_process import DaemonProcess, bangeod
from tests.installation import Installation, every, text
from tests.mmdb_files import nested, write_mmdb
from tests.notify_socket import NotifySocket
from tests.real_mmdb import NotToBeHadError, default_cache

Start = Callable[..., DaemonProcess]


@pytest.fixture
def place(tmp_path: Path) -> Installation:
    """Give a directory with an empty database and a config by which nothing runs by itself."""
    place = Installation(tmp_path / "bangeod")
    place.make()
    return place


@pytest.fixture
def launch() -> Iterator[Start]:
    """Give a function that starts a daemon on a config file; what still runs at the end of the test is killed."""
    with ExitStack() as running:

        def launch(config: Path, **arguments: Any) -> DaemonProcess:
            return running.enter_context(DaemonProcess(config, **arguments))

        yield launch


@pytest.fixture
def start(launch: Start, place: Installation) -> Start:
    """Give a function that starts a daemon on ``place`` and waits until it is ready."""

    def start(*changes: dict[str, object], **arguments: Any) -> DaemonProcess:
        if changes:
            place.configure(*changes)
        daemon = launch(place.config, **arguments)
        daemon.wait_for("ready")
        return daemon

    return start


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[NotifySocket]:
    """Give a datagram socket in systemd's place."""
    with NotifySocket(tmp_path / "notify") as manager:
        yield manager


@pytest.fixture
def watched(start: Start, systemd: NotifySocket) -> Start:
    """Give ``start`` with systemd at the other end."""

    def watched(*changes: dict[str, object], **arguments: Any) -> DaemonProcess:
        return start(*changes, environ={"NOTIFY_SOCKET": str(systemd.path)}, **arguments)

    return watched


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
    """Give the directory of fail2ban's own modules, for real_fail2ban.Fail2ban."""
    try:
        return real_fail2ban.find(default_cache())
    except NotToBeHadError as error:
        pytest.skip(str(error))
