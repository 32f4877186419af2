"""Who is banned now, from fail2ban's own database: opened read-only, and only for as long as it is read.

fail2ban 0.11 and newer say of each ban how long it lasts: ``bips`` has the last ban of each address in each jail,
``bans`` every ban. 0.9 and 0.10 have ``bans`` alone and without ``bantime``, which stands in the configuration of
their jails; and they never delete a row of it but for an unban by hand. There, who was banned lately counts.
"""

import asyncio
import contextlib
import math
import os
import pwd
import shlex
import stat
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from bangeod.clock import SECONDS_A_DAY
from bangeod.errors import StoreDamagedError, StoreError, StoreLockedError, StoreMissingError, StoreReadOnlyError
from bangeod.geo.addresses import Kind
from bangeod.geo.addresses import read as read_address
from bangeod.store import faults, glance, links, queries
from bangeod.store.engine import engine

if TYPE_CHECKING:
    from sqlite3 import Connection

LATELY: Final = 30  # days; a ban of which nobody knows the end counts for so long
ATTEMPT: Final = 0.25  # seconds that SQLite waits for a lock: it can't be interrupted, so it is asked again and again
PAUSE: Final = 0.05  # seconds between two attempts at a locked database
STEPS: Final = 10_000  # of SQLite's virtual machine between two looks at whether to go on

_OTHER_FILE = 'set [fail2ban] database to its dbfile (fail2ban-client get dbfile), or to "" to do without'
_RESTART = "systemctl restart fail2ban: it makes or repairs its tables when it starts"


class Bans(NamedTuple):
    """Who is banned: canonical addresses. Without known ends it is who was banned in the last ``LATELY`` days."""

    ips: frozenset[str]
    ends_are_known: bool


class Fail2banReader:
    """Reads the database at ``path``; ``busy_timeout`` is how long to wait for a lock, in seconds."""

    def __init__(self, path: Path, *, busy_timeout: float) -> None:
        self._path = path
        self._busy_timeout = busy_timeout
        # One at a time: to close a file drops all locks that this process has on it, another reading's too. SQLite
        # knows that of its own files, but not of those that glance.py opens without locks.
        self._reading = asyncio.Lock()

    async def banned(self, now: int, within: float) -> frozenset[str]:
        """Return the canonical addresses that are banned at ``now``: for good, or not at their end yet.

        Raises StoreError where the database can't be read, or not within so many seconds.
        """
        try:
            async with asyncio.timeout(within):
                return (await self.read(now, patience=within / 2)).ips
        except TimeoutError as error:
            problem = "fail2ban's database can't be read: that takes longer than a job can wait"
            raise StoreError(str(self._path), problem, "look at the disk: dmesg, df, mount") from error

    async def read(self, now: int, *, patience: float = math.inf) -> Bans:
        """Return who is banned at ``now``, in seconds since the epoch. Raises StoreError.

        A lock is waited for no longer than ``patience``, whatever the busy timeout.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(self._busy_timeout, patience)
        while True:
            try:
                async with self._reading:
                    return await self._attempt(now)
            except StoreLockedError:
                if loop.time() >= deadline:
                    raise
            await asyncio.sleep(PAUSE)

    async def _attempt(self, now: int) -> Bans:
        abandoned = threading.Event()
        try:
            return await asyncio.to_thread(self._read, now, abandoned)
        finally:
            abandoned.set()  # a thread that goes on keeps the process from ending

    def _read(self, now: int, abandoned: threading.Event) -> Bans:
        self._look_at_file()
        try:
            with glance.opened(self._path, glance.manner(self._path), min(self._busy_timeout, ATTEMPT)) as connection:
                connection.text_factory = _decode
                connection.set_progress_handler(abandoned.is_set, STEPS)
                connection.execute(queries.BEGIN_READING)  # one lock for all of it
                statement = self._statement(connection)
                moments = {"now": now, "since": now - LATELY * SECONDS_A_DAY}
                rows = connection.execute(statement, moments).fetchall()  # at once: fail2ban can't write meanwhile
        except engine.Error as error:
            raise self._translated(error) from error
        return Bans(frozenset(_addresses(rows, abandoned)), statement != queries.FAIL2BAN_LATELY)

    def _look_at_file(self) -> None:
        """Say what stat() says already; and opening a pipe would wait for somebody to write to it."""
        if faults.is_missing(self._path):
            raise StoreMissingError(str(self._path), "there is no such fail2ban database", _OTHER_FILE)
        with contextlib.suppress(OSError):  # a directory on the way is closed: SQLite's error is explained
            mode = self._path.stat().st_mode  # not is_file(): from Python 3.14 on that hides what is closed
            if not stat.S_ISREG(mode):
                kind = "is a directory" if stat.S_ISDIR(mode) else "is no regular file"
                raise StoreError(str(self._path), f"fail2ban's database can't be read: it {kind}", _OTHER_FILE)

    def _statement(self, connection: "Connection") -> str:
        tables = {name for (name,) in connection.execute(queries.FAIL2BAN_TABLES)}
        if "bips" in tables:
            return queries.FAIL2BAN_BIPS
        if "bans" in tables:
            columns = {name for name, _ in connection.execute(queries.COLUMNS, ("bans",))}
            return queries.FAIL2BAN_BANS if "bantime" in columns else queries.FAIL2BAN_LATELY
        if not tables:
            raise StoreError(str(self._path), "this fail2ban database is empty: it has no table bans", _RESTART)
        raise StoreError(str(self._path), "this is no fail2ban database: it has no table bans", _OTHER_FILE)

    def _translated(self, error: Exception) -> StoreError:
        code = getattr(error, "sqlite_errorcode", None) or 0
        if code in glance.NEEDS_A_WRITER:
            problem, advice = "fail2ban was killed while it wrote", _RESTART
            return StoreError(str(self._path), f"fail2ban's database can't be read: {problem}", advice)
        fault = faults.translate(self._path, code, str(error))
        match fault:
            case StoreLockedError():
                advice = fault.advice
            case StoreReadOnlyError():
                advice = self._let_in()
            case StoreDamagedError() if code & 0xFF == faults.CORRUPT:
                advice = _RESTART
            case _:
                advice = _OTHER_FILE
        return type(fault)(str(self._path), f"fail2ban's database can't be read: {fault.problem}", advice)

    def _let_in(self) -> str:
        """Return the command by which this user may read the file, and the log of a database in WAL mode."""
        user, real = _user_name(), links.real(self._path)  # its log lies beside what a link leads to
        path, directories = shlex.quote(str(real)), dict.fromkeys([self._path.parent, real.parent])
        with_log = glance.is_open_somewhere(self._path) and os.access(real.parent, os.X_OK)
        files = " ".join([path, f"{path}-wal", f"{path}-shm"] if with_log else [path])
        on_the_way = " ".join(shlex.quote(str(directory)) for directory in directories)
        return f"it belongs to root; as root: setfacl -m u:{user}:x {on_the_way} && setfacl -m u:{user}:r {files}"


def _addresses(rows: Iterable[tuple[object]], abandoned: threading.Event) -> Iterator[str]:
    """Read what fail2ban has banned; it bans networks and names too, which nobody looks up."""
    for (banned,) in rows:
        if abandoned.is_set():
            return
        kind, ip = read_address(banned)
        if kind is not Kind.INVALID:
            yield ip


def _decode(raw: bytes) -> str:
    return raw.decode(errors="replace")


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
