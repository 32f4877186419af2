"""A daemon at work on a database that another process locks for half a minute."""

import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.support.daemon.installation import Installation, every
from tests.support.daemon.notify_socket import NotifySocket
from tests.support.daemon.process import DaemonProcess
from tests.support.feed import eventually
from tests.support.mmdb.files import write_mmdb
from tests.support.web_app.habits import Habits
from tests.support.web_app.web_app import WebApp

LASTS: Final = 30.0  # seconds
LIMIT: Final = 12  # seconds, of the watchdog; it is fed every four
HERE: Final = "SE"  # where the MMDB has all addresses that are asked about


class LongLock:
    """The daemon, the worker that asks it, systemd's socket, and the process that holds the lock."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._running = ExitStack()
        self.place = Installation(home / "bangeod")

    def __enter__(self) -> Self:
        mmdb = write_mmdb(self._home / "country.mmdb", {"20.0.0.0/8": {"country_code": HERE}})
        self.place.make()
        self.place.insert(sessions=[("expired", "2001-01-01T00:00:00Z")])
        self.place.configure(
            every("1s"),
            {"database.busy_timeout": "5s", "api.enabled": True, "geo.mmdb": [str(mmdb)], "geo.embedded": False},
        )
        with ExitStack() as running:
            self._holder = running.enter_context(WebApp(self.place.database))
            self._holder.execute("BEGIN IMMEDIATE")
            self._until = time.monotonic() + LASTS
            self.systemd = running.enter_context(NotifySocket(self._home / "notify"))
            environ = {"NOTIFY_SOCKET": str(self.systemd.path), "WATCHDOG_USEC": str(LIMIT * 1_000_000)}
            self.daemon = running.enter_context(DaemonProcess(self.place.config, environ=environ))
            self.daemon.wait_for("ready")
            self.since = time.monotonic()
            habits = Habits(socket=str(self.place.socket), asks=[f"20.{number}" for number in range(2, 200)])
            self.asking = running.enter_context(WebApp(habits=habits))
            self._running = running.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def last(self) -> None:
        """Wait until the lock has been held for as long as it is to be."""
        eventually(lambda: time.monotonic() > self._until, "the half minute is over", timeout=2 * LASTS)

    def release(self) -> None:
        """End the lock."""
        self._holder.execute("ROLLBACK")
