"""The addresses banned now, from fail2ban's own database: opened read-only, and read in pages (fail2ban_pages.py).

fail2ban 0.11 and newer store how long each ban lasts: ``bips`` has the last ban of each address in each jail, ``bans``
has every ban. 0.9 and 0.10 have only ``bans``, without ``bantime``, which is in the configuration of their jails; and
they delete a row only for an unban by hand. With these versions, addresses banned lately count as banned.
"""

import asyncio
import math
import os
import pwd
import shlex
import stat
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from bangeod.ban_spans import BansInForce, FoundBan, in_force
from bangeod.banned import Reading, sort_out
from bangeod.clock import SECONDS_A_DAY
from bangeod.errors import (
    StoreDamagedError,
    StoreError,
    StoreIncompleteError,
    StoreLockedError,
    StoreMissingError,
    StoreReadOnlyError,
)
from bangeod.store import symlinks
from bangeod.store.fail2ban_pages import BanTable, CutShortError, Locks, Wait, bans
from bangeod.store.sqlite import faults, queries, read_only
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.lenient_text import decode

if TYPE_CHECKING:
    from sqlite3 import Connection

LATELY: Final = 30  # days; a ban whose end is unknown counts for so long
ATTEMPT: Final = 0.25  # seconds that SQLite waits for a lock: that can't be interrupted, so it is repeated

# Result codes of readings that began and could not be completed, or that may succeed next time.
_PASSING: Final = frozenset({faults.INTERRUPT, faults.IOERR, faults.PROTOCOL, faults.SCHEMA})
_OTHER_FILE = 'set [fail2ban] database to its dbfile (fail2ban-client get dbfile), or to "" to do without'
_DISK = "look at the disk: dmesg, df, mount"
_RESTART = "systemctl restart fail2ban: it makes or repairs its tables when it starts"


T = TypeVar("T")
Moments = Mapping[str, int]  # the times that the statements ask for, in seconds since the epoch


class _Shape(NamedTuple):
    """What the database holds that can be read."""

    source: BanTable
    enabled: frozenset[str]  # the names of the enabled jails; empty where they are not known
    ends_are_known: bool


_Gather = Callable[[Iterable[FoundBan], _Shape], T]  # makes a reading of what is found


def _sorted_out(found: Iterable[FoundBan], shape: _Shape) -> Reading:
    pairs = ((what, jail) for what, jail, _, _ in found)
    return sort_out(pairs, shape.enabled, ends_are_known=shape.ends_are_known)


def _with_times(found: Iterable[FoundBan], shape: _Shape) -> BansInForce:
    return in_force(found, shape.enabled)


def _moments(now: int) -> dict[str, int]:
    lately = LATELY * SECONDS_A_DAY
    return {"now": now, "since": now - lately, "lately": lately}


class Fail2banReader:
    """Reads the database at ``path``; ``busy_timeout`` is how long to wait for a lock, in seconds.

    ``wait`` runs on the reading thread and waits for a number of seconds, or until the reading is given up.
    """

    def __init__(self, path: Path, *, busy_timeout: float, wait: Wait = threading.Event.wait) -> None:
        self._path = path
        self._busy_timeout = busy_timeout
        self._wait = wait
        # One at a time: closing a file drops all locks of this process on it, also those of another reading. SQLite
        # handles that for its own files, not for files opened without locks (read_only.py). A thread that was
        # given up may still be reading when the next one starts.
        self._reading = asyncio.Lock()
        self._at_it = threading.Lock()

    async def banned(self, now: int, within: float, *, begun: int | None = None) -> Reading:
        """Return who is banned at ``now``, in seconds since the epoch; gives up after ``within`` seconds.

        With ``begun`` only bans that began then or later count, in seconds since the epoch.

        Raises StoreError where the database can't be read. StoreLockedError (it is locked) and StoreIncompleteError (it
        can't be read completely in this time) are temporary: the next reading may find more.
        """
        return await self._within(within, self.read(now, patience=within / 2, begun=begun))

    async def in_force(self, now: int, within: float) -> BansInForce:
        """Return each ban in force at ``now`` with its times; as ``banned`` otherwise."""
        return await self._within(within, self._read(_moments(now), within / 2, _with_times))

    async def read(self, now: int, *, patience: float = math.inf, begun: int | None = None) -> Reading:
        """Return who is banned at ``now``, in seconds since the epoch. Raises StoreError.

        Waits for a lock no longer than ``patience``, even if the busy timeout is longer. ``begun`` as above.
        """
        moments = _moments(now) | ({} if begun is None else {"begun": begun})
        return await self._read(moments, patience, _sorted_out)

    async def _within(self, seconds: float, reading: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(seconds):
                return await reading
        except TimeoutError as error:
            raise self._incomplete("that takes longer than a job can wait", _DISK) from error

    async def _read(self, moments: Moments, patience: float, gather: "_Gather[T]") -> T:
        async with self._reading:
            given_up = threading.Event()
            waits = min(self._busy_timeout, patience)
            try:
                return await asyncio.to_thread(self._read_in_turn, moments, waits, given_up, gather)
            finally:
                given_up.set()  # a thread that goes on would keep the process from ending

    def _read_in_turn(self, moments: Moments, patience: float, given_up: threading.Event, gather: "_Gather[T]") -> T:
        while not self._at_it.acquire(timeout=ATTEMPT):
            if given_up.is_set():
                raise self._incomplete("an earlier reading hangs")
        try:
            return self._look_into_it(moments, patience, given_up, gather)
        except CutShortError as error:
            raise self._incomplete(str(error)) from error
        except engine.Error as error:
            raise self._translated(error) from error
        finally:
            self._at_it.release()

    def _look_into_it(self, moments: Moments, patience: float, given_up: threading.Event, gather: "_Gather[T]") -> T:
        before = self._look_at_file()
        manner = read_only.manner(self._path)
        with read_only.opened(self._path, manner, min(patience, ATTEMPT)) as connection:
            connection.text_factory = decode
            alone = manner == read_only.ALONE
            locks = Locks(connection, given_up, patience=patience, alone=alone, wait=self._wait)
            found = self._pages(locks, moments, gather)
        if faults.is_missing(self._path) or self._look_at_file() != before:
            raise CutShortError("the file was moved or replaced meanwhile")
        return found

    def _pages(self, locks: Locks, moments: Moments, gather: "_Gather[T]") -> T:
        with_times, only_new = gather is _with_times, "begun" in moments
        done = locks.page(lambda connection: self._shape(connection, only_new=only_new, with_times=with_times))
        if done is None:
            raise CutShortError("its tables can't be looked at in time")
        shape, _ = done
        return gather(bans(locks, shape.source, moments), shape)

    def _look_at_file(self) -> tuple[int, int] | None:
        """Report what stat() already shows; opening a pipe would wait for somebody to write to it.

        Returns device and inode; None where a directory on the way is closed: SQLite's own error explains that.
        """
        try:
            found = self._path.stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StoreMissingError(str(self._path), "there is no such fail2ban database", _OTHER_FILE) from error
        except OSError:
            return None
        if not stat.S_ISREG(found.st_mode):
            kind = "is a directory" if stat.S_ISDIR(found.st_mode) else "is no regular file"
            raise StoreError(str(self._path), f"fail2ban's database can't be read: it {kind}", _OTHER_FILE)
        return found.st_dev, found.st_ino

    def _shape(self, connection: "Connection", *, only_new: bool, with_times: bool) -> _Shape:
        tables = {name for (name,) in connection.execute(queries.FAIL2BAN_TABLES)}
        table = next((name for name in ("bips", "bans") if name in tables), None)
        if table is None and tables:
            raise StoreError(str(self._path), "this is no fail2ban database: it has no table bans", _OTHER_FILE)
        if table is None:
            raise StoreError(str(self._path), "this fail2ban database is empty: it has no table bans", _RESTART)
        columns = _columns(connection, table)
        ends_are_known = table == "bips" or "bantime" in columns
        still = queries.FAIL2BAN_STILL if ends_are_known else queries.FAIL2BAN_LATELY
        if only_new:
            still = queries.FAIL2BAN_BEGUN.format(still=still)
        enabled = frozenset[str]()
        if {"name", "enabled"} <= _columns(connection, "jails"):
            enabled = frozenset(name for (name,) in connection.execute(queries.FAIL2BAN_JAILS))
        times = queries.FAIL2BAN_NO_TIMES
        if with_times:
            times = queries.FAIL2BAN_TIMES if ends_are_known else queries.FAIL2BAN_TIMES_LATELY
        return _Shape(BanTable.of(table, still, columns, times), enabled, ends_are_known)

    def _incomplete(self, why: str, advice: str = f"tried again at the next run; if it stays, {_DISK}") -> StoreError:
        return StoreIncompleteError(str(self._path), f"fail2ban's database can't be read: {why}", advice)

    def _translated(self, error: Exception) -> StoreError:
        code = faults.code(error)
        if code in read_only.NEEDS_A_WRITER:
            problem, advice = "fail2ban was killed while it wrote", _RESTART
            return StoreError(str(self._path), f"fail2ban's database can't be read: {problem}", advice)
        fault = faults.translate(self._path, code, str(error))
        match fault:
            case _ if code & 0xFF in _PASSING:
                return self._incomplete(fault.problem)
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
        """Return the command that lets this user read the file, and the WAL of a database in WAL mode."""
        user, real = _user_name(), symlinks.real(self._path)  # the WAL lies beside the file that a link leads to
        path, directories = shlex.quote(str(real)), dict.fromkeys([self._path.parent, real.parent])
        with_log = read_only.is_open_somewhere(self._path) and os.access(real.parent, os.X_OK)
        files = " ".join([path, f"{path}-wal", f"{path}-shm"] if with_log else [path])
        on_the_way = " ".join(shlex.quote(str(directory)) for directory in directories)
        return f"it belongs to root; as root: setfacl -m u:{user}:x {on_the_way} && setfacl -m u:{user}:r {files}"


def _columns(connection: "Connection", table: str) -> frozenset[str]:
    return frozenset(name for name, *_ in connection.execute(queries.COLUMNS, (table,)))


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
