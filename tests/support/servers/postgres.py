"""PostgreSQL from Debian's packages: a server on a Unix socket in a temporary folder, run by an unprivileged user.

One for a session of tests, started when the first of them asks for it. Nothing of it outlives the tests: its folder is
in memory, so it need not be told to write to a disk.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest

from bangeod.store.postgres import driver
from bangeod.store.postgres.connection import Conninfo
from tests.support.mmdb.published import NotToBeHadError

REQUIRED: Final = "BANGEOD_TESTS_REQUIRE_POSTGRES"  # set where none of the tests with it may be skipped
INSTALLED: Final = Path("/usr/lib/postgresql")  # a folder for each version
IN_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the folders in it have random names
USERS: Final = "postgres", "nobody"  # the server refuses to be root's
PATIENCE: Final = 30.0  # seconds for a start or an end
SUPERUSER: Final = "postgres"
SETTINGS: Final = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "max_wal_size": "128MB",
    "log_min_messages": "warning",
    "lc_messages": "C",
}

_numbers: Final = count(1)
_shared: "list[PostgresServer]" = []
_kept: Final = contextlib.ExitStack()


class PostgresServer:
    """A server with a cluster of its own, from the first ``start`` on; ``end`` removes both."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._user = _unprivileged()
        parent = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None
        self.home = Path(tempfile.mkdtemp(prefix="bangeod-postgres-", dir=parent))
        self._data = self.home / "data"
        self._log = self.home / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self.hand_over(self.home)

    def make(self) -> None:
        """Make the cluster."""
        arguments = ["--no-sync", "--auth=trust", f"--username={SUPERUSER}", "--encoding=UTF8", "--locale=C.UTF-8"]
        command = self.as_user(self._programs / "initdb", "-D", self._data, *arguments)
        made = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=PATIENCE, check=False)
        if made.returncode:
            raise NotToBeHadError(f"initdb: {made.stderr.strip() or made.stdout.strip()}")

    def follow(self, primary: "PostgresServer", *, synchronous: bool = False, **settings: str) -> None:
        """Become a standby of another server, from a copy of that one, and start.

        What this server's own cluster held is gone. When this returns it streams; with ``synchronous``, what the
        primary commits from now on waits for it, for as long as the primary is one.
        """
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._data, ignore_errors=True)
        source = f"{primary.keywords()} application_name={self.home.name}"
        arguments = ["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--wal-method=stream"]
        command = self.as_user(self._programs / "pg_basebackup", "-D", self._data, "-d", source, *arguments)
        copied = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=PATIENCE, check=False)
        assert copied.returncode == 0, copied.stderr
        self.start(**settings)
        primary._wait_for(
            "SELECT EXISTS (SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND application_name = %s)",
            self.home.name,
        )
        primary._set_synchronous(f'"{self.home.name}"' if synchronous else "")
        if synchronous:
            primary._wait_for(
                "SELECT EXISTS (SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync' AND application_name = %s)",
                self.home.name,
            )

    def promote(self) -> None:
        """Make a primary of a standby; it waits for no standby of its own."""
        self._set_synchronous("", "SELECT pg_promote(true)")

    def _set_synchronous(self, names: str, *before: str) -> None:
        """Let commits wait for the standbys of these names, or for none."""
        with self.connect() as admin:
            for statement in before:
                admin.execute(statement)
            admin.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
            admin.execute("SELECT pg_reload_conf()")

    def _wait_for(self, condition: str, *values: object) -> None:
        ends = time.monotonic() + PATIENCE
        with self.connect() as admin:
            while admin.execute(condition, values).fetchone() != (True,):
                assert time.monotonic() < ends, self._log.read_text()
                time.sleep(0.02)

    def start(self, **settings: str) -> None:
        """Start it, and wait until it lets somebody in."""
        options = {**SETTINGS, "unix_socket_directories": str(self.home), **settings}
        given = [f"--{name}={value}" for name, value in options.items()]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.as_user(self._programs / "postgres", "-D", self._data, *given),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
            )
        ends = time.monotonic() + PATIENCE
        while not self._answers():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < ends, self._log.read_text()
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: by SIGINT it ends all connections, by SIGQUIT at once, as after a crash."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(PATIENCE)

    def end(self) -> None:
        """Stop it and remove its cluster."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.home)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def keywords(self, database: str = "postgres", user: str = SUPERUSER) -> str:
        """Return the conninfo of a database."""
        return f"host={self.home} dbname={database} user={user}"

    def conninfo(self, database: str = "postgres", user: str = SUPERUSER) -> Conninfo:
        return Conninfo(self.keywords(database, user), f"postgresql:///{database}")

    def connect(self, database: str = "postgres", user: str = SUPERUSER) -> Any:
        """Return a connection of psycopg's, on which each statement is a transaction."""
        import psycopg  # noqa: PLC0415 - it need not be there

        return psycopg.connect(self.keywords(database, user), autocommit=True)

    def hand_over(self, folder: Path) -> None:
        """Let a folder and what is in it be the unprivileged user's."""
        if self._user is not None:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except driver.error():
            return False
        return True

    def as_user(self, program: Path, *arguments: object) -> list[str]:
        """Return a command that runs a program as the unprivileged user."""
        command = [str(program), *map(str, arguments)]
        if self._user is None:
            return command
        # Should these tests be killed, it ends with them.
        by = ["setpriv", f"--reuid={self._user.pw_uid}", f"--regid={self._user.pw_gid}", "--clear-groups"]
        return [*by, "--pdeathsig=QUIT", *command]


@contextlib.contextmanager
def running(**settings: str) -> Iterator[PostgresServer]:
    """Run a server of its own. Raises NotToBeHadError where there can be none."""
    server = PostgresServer(programs())
    try:
        server.make()
        server.start(**settings)
        yield server
    finally:
        server.end()


def programs() -> Path:
    """Return the folder of the server's programs. Raises NotToBeHadError where there can be no server."""
    if not driver.available():
        raise NotToBeHadError('psycopg is not installed: pip install "bangeod[postgres]"')
    return _programs()


def shared() -> PostgresServer:
    """Return the server of this session of tests. Raises NotToBeHadError where there can be none."""
    if not _shared:
        _shared.append(_kept.enter_context(running()))
    return _shared[0]


def end_shared() -> None:
    """End the server of this session of tests, if one was started."""
    _shared.clear()
    _kept.close()


def shared_or_skip() -> PostgresServer:
    """Return the server of this session of tests; where there can be none, skip the test, or fail it if required."""
    with skipping():
        return shared()


@contextlib.contextmanager
def skipping() -> Iterator[None]:
    """Skip the test where within there can be no server, or fail it if it is required."""
    try:
        yield
    except NotToBeHadError as error:
        if os.environ.get(REQUIRED):
            pytest.fail(f"${REQUIRED} is set, but there is no server: {error}")
        pytest.skip(f"no PostgreSQL: {error}")


def new_name() -> str:
    """Return a name for a database or a schema that none has had."""
    return f"bangui_{next(_numbers)}"


def _programs() -> Path:
    """Return the folder of the newest server's programs."""
    found = {int(path.parent.parent.name): path.parent for path in INSTALLED.glob("[0-9]*/bin/postgres")}
    if not found:
        raise NotToBeHadError(f"there is none in {INSTALLED}: apt-get install postgresql")
    return found[max(found)]


def _unprivileged() -> pwd.struct_passwd | None:
    """Return the user to run as; None where it is not root who runs the tests."""
    if os.geteuid() != 0:
        return None
    users = {user.pw_name: user for user in pwd.getpwall()}
    name = next((name for name in USERS if name in users), None)
    if name is None or shutil.which("setpriv") is None:
        raise NotToBeHadError("it refuses to be root's, and there is no setpriv or no user to be")
    return users[name]
