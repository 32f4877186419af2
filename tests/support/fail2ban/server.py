"""fail2ban's own server, run from where its modules are: its jails ban by a log of ours, and by command.

Nothing is done about a ban but writing it down. Everything it makes is in one directory.
"""

import functools
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.support.fail2ban.database import PYTHON

PATIENCE: Final = 30.0  # seconds that a start or a ban may take
SERVER: Final = "import sys; from fail2ban.client.fail2banserver import exec_command_line; exec_command_line(sys.argv)"
CLIENT: Final = "import sys; from fail2ban.client.fail2banclient import exec_command_line; exec_command_line(sys.argv)"
ACTION: Final = "[Definition]\nactionban = true\nactionunban = true\n"
FILTERS: Final = {
    "by_address": r"^ bad <ADDR>$",
    "by_network": r"^ swarm <SUBNET>$",
    "by_another": r"^ again <ADDR>$",
    "by_id": r"^ login <F-ID>\S+</F-ID> from <ADDR>$",
}


class Fail2banServer:
    """The server, for as long as the ``with`` block lasts; it may be stopped and started with other jails within."""

    def __init__(self, home: Path, modules: Path) -> None:
        self.home = home
        self.database = home / "fail2ban.sqlite3"
        self._environ = {**os.environ, "PYTHONPATH": str(modules), "PYTHONDONTWRITEBYTECODE": "1"}
        self._process: subprocess.Popen[bytes] | None = None
        self._log = home / "app.log"
        self._output = home / "server.out"
        self._configure()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def start(self, **jails: Mapping[str, str]) -> None:
        """Start it with these jails: what is to be set in each, beside what all have."""
        parts = [f"[{name}]\nenabled = true\n" + _lines(options) for name, options in jails.items()]
        (self.home / "conf" / "jail.conf").write_text(
            f"[DEFAULT]\nbackend = polling\nusedns = no\nmaxretry = 1\naction = nothing\nlogpath = {self._log}\n"
            + "".join(parts)
        )
        command = [*self._python(SERVER), "-xf", *self._places(), "start"]
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(command, env=self._environ, stdout=output, stderr=output)
        self._eventually(functools.partial(self.tell, "status"), "an answer")
        for name in jails:
            self._eventually(functools.partial(self.tell, "status", name), f"jail {name}")

    def stop(self) -> None:
        """Stop it as systemd does."""
        assert self._process is not None
        self.tell("stop")
        self._process.wait(PATIENCE)
        self._process = None

    def tell(self, *command: str) -> str | None:
        """Have its client carry out a command; None where that is refused."""
        done = subprocess.run(
            [*self._python(CLIENT), *self._places(), *command],
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.stdout.strip() if done.returncode == 0 else None

    def log(self, *lines: str) -> None:
        """Write lines into the log that the jails look at."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")
        with self._log.open("a") as file:
            file.writelines(f"{now} {line}\n" for line in lines)

    def wait_for_bans(self, jail: str, ids: Iterable[str]) -> None:
        """Wait until a jail has banned all of these."""
        self._eventually(lambda: set(ids) <= set((self.tell("get", jail, "banip") or "").split()), f"{jail}: {ids}")

    def _configure(self) -> None:
        conf = self.home / "conf"
        for name in ("filter.d", "action.d", "jail.d"):
            (conf / name).mkdir(parents=True, exist_ok=True)
        (conf / "fail2ban.conf").write_text(
            "[Definition]\nloglevel = INFO\nsyslogsocket = auto\nallowipv6 = yes\ndbpurgeage = 1d\n"
            f"logtarget = {self.home / 'fail2ban.log'}\nsocket = {self.home / 's'}\npidfile = {self.home / 'p'}\n"
            f"dbfile = {self.database}\ndbmaxmatches = 10\n"
        )
        (conf / "action.d" / "nothing.conf").write_text(ACTION)
        for name, expression in FILTERS.items():
            (conf / "filter.d" / f"{name}.conf").write_text(f"[Definition]\nfailregex = {expression}\n")
        self._log.touch()

    def _python(self, program: str) -> list[str]:
        return [str(PYTHON), "-s", "-W", "ignore", "-c", program]

    def _places(self) -> list[str]:
        return ["-c", str(self.home / "conf"), "-s", str(self.home / "s"), "-p", str(self.home / "p")]

    def _eventually(self, condition: Callable[[], object], what: str) -> None:
        ends = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < ends, f"no {what}:\n{self._output.read_text()}"
            time.sleep(0.1)


def _lines(options: Mapping[str, str]) -> str:
    return "".join(f"{name} = {value}\n" for name, value in options.items())
