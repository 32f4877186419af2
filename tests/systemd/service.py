"""bangeod as a service of the tests' machine: its unit, config, database and journal."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any, Final

from tests.support.daemon import broken_within
from tests.support.daemon.installation import as_toml
from tests.support.feed import DEADLINE, eventually
from tests.systemd.machine import Machine

UNIT: Final = "bangeod.service"
CONFIG: Final = "/etc/bangeod/bangeod.toml"
DATABASE: Final = "/var/lib/bangui/bangui.db"
STATE: Final = "/var/lib/bangeod"
SOCKET: Final = "/run/bangeod/bangeod.sock"
PYTHON: Final = "/opt/bangeod/bin/python3"
WEB_USER: Final = "bangui"
DROP_INS: Final = f"/run/systemd/system/{UNIT}.d"
EMPTY: Final = "/srv/empty-bangui"  # what each test's database is a copy of
SOURCE: Final = "/srv/bangeod"  # this checkout, as the machine sees it

Entry = dict[str, Any]  # of the journal, by the names of its fields

# BanGUI's installation, with the rights that the README gives it.
MAKE_DATABASE: Final = f"""
install -d -m 2770 -o {WEB_USER} -g {WEB_USER} {EMPTY}
setpriv --reuid {WEB_USER} --regid {WEB_USER} --init-groups {PYTHON} -c '
from pathlib import Path
from bangeod.store.sqlite import schema
schema.create(Path("{EMPTY}/bangui.db"))'
chmod 660 {EMPTY}/bangui.db*
"""
START_AFRESH: Final = f"""
systemctl stop {UNIT}
rm -rf {DROP_INS} {STATE} {PurePosixPath(DATABASE).parent}
cp -a {EMPTY} {PurePosixPath(DATABASE).parent}
systemctl daemon-reload
systemctl reset-failed
journalctl --sync
"""
# Reads a statement and its parameters, prints the rows; with bangeod's SQLite, since an older one could do harm.
SQL: Final = """
import json, sys
from bangeod.store.sqlite.engine import engine
statement, rows = json.load(sys.stdin)
connection = engine.connect(sys.argv[1], timeout=30, isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
found = []
for row in rows:
    found += connection.execute(statement, row).fetchall()
connection.execute("COMMIT")
connection.close()
print(json.dumps(found))
"""

LOCK: Final = """
import sys
from bangeod.store.sqlite.engine import engine
connection = engine.connect(sys.argv[1], timeout=30, isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
connection.execute("ROLLBACK")
connection.close()
"""


class Service:
    """The service, stopped, with an empty database and a config that holds what a test configures."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        machine.run("sh", "-c", START_AFRESH)
        self._settings: dict[str, object] = {}
        self.configure({"log.level": "debug"})
        self._began = time.time()  # not a cursor: with it, journalctl loses the first entry that matches

    # --- what it is told ---

    def configure(self, *changes: Mapping[str, object]) -> None:
        """Change settings, by dotted keys, and write the config."""
        for change in changes:
            self._settings |= change
        self.machine.write(CONFIG, as_toml(self._settings))

    def drop_in(self, *lines: str) -> None:
        """Give the unit more lines of its section [Service]."""
        self.machine.write(f"{DROP_INS}/test.conf", "\n".join(["[Service]", *lines, ""]))
        self.machine.run("systemctl", "daemon-reload")

    def start(self) -> None:
        """Start it; this returns when it is ready."""
        self.machine.run("systemctl", "start", UNIT)

    def stop(self) -> None:
        """Stop it."""
        self.machine.run("systemctl", "stop", UNIT, timeout=2 * DEADLINE)

    def kill(self, signal: str) -> None:
        """Send a signal to its main process."""
        self.machine.run("systemctl", "kill", "--kill-whom=main", f"--signal={signal}", UNIT)

    @contextmanager
    def broken_by(self, code: str) -> Iterator[None]:
        """Have the service's Python run this code at its start: a hang or a fault that a test needs within it."""
        where = 'import sysconfig; print(sysconfig.get_path("purelib"))'
        directory = self.machine.run(PYTHON, "-c", where).stdout.strip()
        self.machine.write(f"{directory}/broken_for_a_test.py", broken_within.guarded(code))
        self.machine.write(f"{directory}/broken_for_a_test.pth", "import broken_for_a_test\n")
        try:
            yield
        finally:
            self.machine.run("rm", f"{directory}/broken_for_a_test.py", f"{directory}/broken_for_a_test.pth")

    # --- what is seen of it ---

    def show(self, name: str) -> str:
        """Return a property of the unit."""
        return self.machine.run("systemctl", "show", "--value", f"--property={name}", UNIT).stdout.strip()

    @property
    def is_active(self) -> bool:
        """Say whether systemd holds it to be well."""
        return self.show("ActiveState") == "active"

    @property
    def status(self) -> str:
        """Return the line that it tells systemd."""
        return self.show("StatusText")

    @property
    def pid(self) -> int:
        """Return the number of its main process, 0 where there is none."""
        return int(self.show("MainPID"))

    def wait_for_status(self, text: str) -> str:
        """Wait until the line has this text in it; return it."""
        eventually(lambda: text in self.status, f"{text!r} in the status, which is {self.status!r}")
        return self.status

    def wait_for_restart(self, pid: int) -> None:
        """Wait until it is active again, as another process than that one."""
        eventually(lambda: self.is_active and self.pid not in (0, pid), "the restart")

    def journal(self, *arguments: str) -> list[Entry]:
        """Return what ``journalctl -u bangeod`` with these arguments finds of this test."""
        command = ["journalctl", f"--unit={UNIT}", "--output=json", "--all", f"--since=@{self._began:.6f}"]
        lines = self.machine.run(*command, *arguments).stdout.splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def events(self, event: str, **keys: str) -> list[Entry]:
        """Return the entries of an event with these fields."""
        wanted = {"EVENT": event} | {name.upper(): value for name, value in keys.items()}
        return self.journal(*(f"{name}={value}" for name, value in wanted.items()))

    def wait_for(self, event: str, **keys: str) -> Entry:
        """Return the first entry of an event with these fields, as soon as it is there."""
        try:
            eventually(lambda: bool(self.events(event, **keys)), f"the event {event} {keys or ''}")
        except AssertionError as error:
            told = "\n".join(str(entry.get("MESSAGE"))[:300] for entry in self.journal()[-30:])
            raise AssertionError(f"{error}; the journal has:\n{told}") from None
        return self.events(event, **keys)[0]

    # --- the web app's hand ---

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the database's write lock, as the web app's user."""
        with self.machine.started(PYTHON, "-c", LOCK, DATABASE, user=WEB_USER) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "locked\n"
            yield

    def execute(self, statement: str, *rows: tuple[object, ...]) -> list[list[Any]]:
        """Run a statement as the web app's user, once for each row of parameters, in one transaction."""
        given = json.dumps([statement, rows or [()]])
        done = self.machine.run(PYTHON, "-c", SQL, DATABASE, user=WEB_USER, given=given)
        found: list[list[Any]] = json.loads(done.stdout)
        return found

    def make_state(self, name: str, text: str) -> None:
        """Leave a file in the state directory, as an earlier daemon does."""
        self.machine.run("install", "-d", "-m", "0700", "-o", "bangeod", "-g", "bangeod", STATE)
        self.machine.write(f"{STATE}/{name}", text)
        self.machine.run("chown", "bangeod:bangeod", f"{STATE}/{name}")
