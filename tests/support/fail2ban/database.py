"""fail2ban's database as fail2ban makes it: its own modules write it, in a process of their own (writer.py).

Debian's package holds them. Where it is not installed it is fetched with apt-get and only unpacked, into a cache.
"""

import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from tests.support import debian_package
from tests.support.mmdb.published import NotToBeHadError

PYTHON = Path("/usr/bin/python3")  # the one that Debian's package is for
MODULES = Path("usr/lib/python3/dist-packages")
WRITER = Path(__file__).with_name("writer.py")


class Ban(NamedTuple):
    """One ban: ``at`` in seconds since the epoch, ``bantime`` in seconds, -1 for good."""

    ip: str
    at: float
    bantime: int = 600
    nth: int = 1
    jail: str = "sshd"


def find(cache: Path) -> Path:
    """Return where fail2ban's modules are: the system's, those in the cache, or else apt's. Raises NotToBeHadError."""
    if not PYTHON.exists():
        raise NotToBeHadError(f"there is no {PYTHON} to run fail2ban's modules")
    for root in (Path("/"), cache / "fail2ban"):
        if (root / MODULES / "fail2ban" / "server" / "database.py").exists():
            return root / MODULES
    return debian_package.unpack("fail2ban", cache) / MODULES


class Fail2ban:
    """fail2ban's hand in its database, for as long as the ``with`` block lasts."""

    def __init__(self, path: Path, modules: Path) -> None:
        self.path = path
        self._process = subprocess.Popen(
            [str(PYTHON), "-s", "-B", "-W", "ignore", str(WRITER), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(modules)},
        )
        self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()  # no error where it has ended
        self._process.communicate()

    def tell(self, order: str, **arguments: object) -> Any:
        """Have one of the writer's orders carried out; return its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([order, arguments]) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def ban(self, *bans: Ban) -> None:
        """Ban addresses."""
        self.tell("ban", bans=bans)

    def ban_quickly(self, ips: Iterable[str], at: float, bantime: int) -> None:
        """Ban many addresses, in one transaction."""
        self.tell("ban_quickly", bans=[(ip, at, bantime) for ip in ips])

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            _, why = self._process.communicate()
            raise AssertionError(f"fail2ban's modules gave up:\n{why}")
        return json.loads(line)
