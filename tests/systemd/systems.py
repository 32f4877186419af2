"""The systems whose copies the tests boot: this computer's own, and releases of Debian that debootstrap has made."""

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.mmdb.published import default_cache

HERE: Final = "here"
DEBIAN_13: Final = "debian-13"
PYTHON: Final = "/usr/bin/python3"  # each system's, as contrib/install chooses it
# What the README asks for, what a server has anyway, and what tests call.
PACKAGES: Final = ("acl", "dbus", "dpkg-dev", "procps", "python3", "python3-venv", "systemd", "systemd-sysv")
MAKE_SECONDS: Final = 900.0  # some 70 on two cores; most of it is the unpacking
EMULATED_SECONDS: Final = 7_200.0  # as above, where another processor's programs do it


class NoSystemError(Exception):
    """The system is not to be had here; the text says why."""


class System(NamedTuple):
    """A system: its root directory, which is never written to, and the version of its Python."""

    name: str
    root: Path
    python: str  # as 3.13

    @property
    def is_here(self) -> bool:
        return self.name == HERE


def here() -> System:
    """Return this computer's own."""
    return System(HERE, Path("/"), _python())


def debian(suite: str, name: str = "", *, architecture: str = "") -> System:
    """Return a release of Debian; made with debootstrap where it is not in the cache yet. Raises NoSystemError.

    It is for this computer's processor where no other ``architecture`` is named, as Debian calls it.
    """
    root = default_cache() / "roots" / "-".join((suite, *filter(None, (architecture,)), *PACKAGES))
    if not root.exists():
        _make(suite, root, architecture)
    return System(name or suite, root, _python("chroot", str(root)))


SYSTEMS: Final[dict[str, Callable[[], System]]] = {HERE: here, DEBIAN_13: partial(debian, "trixie", DEBIAN_13)}


def _make(suite: str, root: Path, architecture: str) -> None:
    if os.geteuid() != 0:
        raise NoSystemError("only root can make a root directory of Debian's")
    if shutil.which("debootstrap") is None:
        raise NoSystemError("debootstrap is not installed (apt-get install debootstrap)")
    part = root.with_name(f"{root.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    options = ["--variant=minbase", f"--include={','.join(PACKAGES)}"]
    seconds = MAKE_SECONDS
    if architecture:
        options.append(f"--arch={architecture}")
        seconds = EMULATED_SECONDS
    try:
        _run("debootstrap", *options, suite, str(part), timeout=seconds)
    except NoSystemError:
        shutil.rmtree(part, ignore_errors=True)
        raise
    for archive in (part / "var" / "cache" / "apt" / "archives").glob("*.deb"):
        archive.unlink()
    part.rename(root)


def _python(*through: str) -> str:
    return _run(*through, PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()


def _run(*command: str, timeout: float = 60.0) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoSystemError(f"{command[0]}: {error}") from None
    if done.returncode:
        told = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise NoSystemError(f"{' '.join(command[:2])} … failed: {' / '.join(told[-3:])}")
    return done.stdout
