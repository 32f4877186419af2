"""One connection to the shared file: whole transactions on SQLite's thread, interrupted when they are cancelled.

A transaction runs in one go on SQLite's thread. If each statement went to the thread separately, the write lock
would be held while the event loop is busy with something else.
"""

import asyncio
import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import structlog

from bangeod.errors import SchemaError, StoreDamagedError, StoreError, StoreLockedError, StoreRefusedError
from bangeod.store.sqlite import faults, queries
from bangeod.store.sqlite.checkpoint import Checkpointed, checkpoint, checkpoint_with_reader
from bangeod.store.sqlite.copied_over import OverwriteWatch
from bangeod.store.sqlite.engine import IS_SAFE, engine
from bangeod.store.sqlite.interruptible import Interruptible
from bangeod.store.sqlite.lenient_text import leniently
from bangeod.store.sqlite.read_mark import ReadMark
from bangeod.store.sqlite.readers import WalIndex, WalView, own_descriptor
from bangeod.store.sqlite.starting_over import CheckpointingError, without_checkpoints
from bangeod.store.sqlite.thread import SqliteThread
from bangeod.store.sqlite.wal_file import WalFile
from bangeod.store.sqlite.writing_out import write_out
from bangeod.store.symlinks import LinkedFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from sqlite3 import Connection

    from bangeod.clock import Clock

T = TypeVar("T")

log = structlog.get_logger(__name__)

FIRST_RETRY = 0.001  # seconds until the lock is asked for again
RETRY_GROWTH = 1.5  # times longer, each time
LONGEST_RETRY = 0.05  # seconds
LONGEST_MARK = 10.0  # seconds until a read mark that nobody has removed is removed
CHECKPOINT_TRIES = 20  # to take the lock of checkpoints: one of the web app's that finds nothing to move takes 20 µs
BETWEEN_TRIES = 0.0002  # seconds
INTERRUPT_EVERY = 0.02  # seconds; a statement that begins between two of them is caught by the next


class SharedFile:
    """The database file at a path, opened only by SQLite."""

    def __init__(self, path: Path, *, busy_timeout: float, clock: "Clock") -> None:
        self.path = path
        self.busy_timeout = busy_timeout  # seconds
        self._clock = clock
        self._connection: SqliteThread | None = None
        self._opened: LinkedFile | None = None
        self._wal = WalFile(path)
        self._watch = OverwriteWatch(path)
        self._wal_index: WalIndex | None = None
        self._mark = ReadMark(lambda: _connect(path))
        self._end_of_mark: asyncio.TimerHandle | None = None
        self._overwritten = False  # another database has the same inode now
        self._suspect = False  # an error was seen; only a new connection shows whether it is gone
        self._damaged = False  # the file was damaged; a repaired one may be another database with the same inode

    async def prepare(self) -> bool:
        """Open the file at the path, or reopen it where needed; return whether it may be another database."""
        try:
            found = self._look()
        except StoreError:  # the opened file is no longer there
            if await self._empty_old_wal():
                await self.close()
            raise
        same = self._connection is not None and found == self._opened and await self._is_as_it_was()
        if same and not self._suspect:
            self._wal.see()
            return False
        was_damaged = self._damaged
        if not await self._empty_old_wal():
            raise faults.wal_of_another(self.path)
        await self.close()
        try:
            connection = await SqliteThread.open(lambda: _connect(found.path))
        except engine.Error as error:
            raise self._translated(error) from error
        self._connection, self._opened, self._suspect = connection, found, False
        self._mark = ReadMark(lambda: _connect(found.path))
        self._wal = WalFile(found.path)
        self._watch, self._overwritten, self._damaged = OverwriteWatch(found.path), False, False
        try:
            await self.read(lambda opened: self._greet(opened, found))
        except BaseException:
            await self.close()
            raise
        self._wal.see()
        return not same or was_damaged

    async def close(self) -> None:
        """Close the connection, whatever state the file is in."""
        if not await self._empty_old_wal():
            log.error(
                "old_log_left",
                path=str(self._wal.path),
                problem="it belongs to the database that was replaced, and another program still uses that",
                advice="stop all that use the database, remove its -wal and -shm, and put the new one there again",
            )
        self._forget_end_of_mark()
        connection, self._connection, self._opened = self._connection, None, None
        self._wal_index = None
        if connection is not None:
            with contextlib.suppress(engine.Error):
                await connection.run(self._mark.close)
            with contextlib.suppress(engine.Error):
                await connection.close()

    async def _is_as_it_was(self) -> bool:
        """Say whether the WAL is still in place and no other database was copied over this one."""
        try:
            await self.read(_nothing)
        except StoreDamagedError:  # a new connection may find it undamaged
            return False
        except StoreError:
            if not self._suspect:
                raise
            return True  # unknown; reopening will show what is wrong
        return self._wal.is_in_place and not self._overwritten

    async def _empty_old_wal(self) -> bool:
        """Empty the WAL of a database that is no longer in its place; return whether nothing is left in it.

        SQLite leaves the WAL there, and whoever opens the new file in that place would replay it into the new file. But
        the WAL may already hold commits to the new file: this connection would move those into the old one. If only a
        link leads elsewhere now, the old database is complete, with its WAL.
        """
        wal, opened = self._wal, self._opened
        if opened is None or not wal.is_known or opened.is_in_place or wal.is_of_the_new_one:
            return True
        if wal.is_in_place:
            with contextlib.suppress(StoreError, engine.Error):
                await self.unmark()
                await self.read(lambda connection: connection.execute(queries.EMPTY_WAL).fetchall())
        return not wal.is_in_place or wal.is_empty

    def look_at_readers(self) -> WalView | None:
        """Return the state of the WAL, and who else reads the database; None where that can't be told. At any time."""
        return self._wal_index.look() if self._wal_index is not None else None

    @property
    def size(self) -> int:
        """Return the size of the database's file in bytes; 0 where it is not there."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    @property
    def is_marked(self) -> bool:
        """Say whether a read mark is set."""
        return self._mark.is_set

    async def mark(self) -> bool:
        """Set a read mark where possible; return whether it is set. It is removed after LONGEST_MARK, come what may."""
        connection = self._connection
        is_set = await self.maintain(self._mark.set)
        if is_set and connection is not None:
            self._forget_end_of_mark()
            loop = asyncio.get_running_loop()
            self._end_of_mark = loop.call_later(LONGEST_MARK, lambda: loop.create_task(self._unmark(connection)))
        return is_set

    async def checkpoint(self, *, unmark: bool = True, may_lock: bool = True) -> Checkpointed:
        """Move the frames of the WAL into the database, with the read mark removed just before, if ``unmark``.

        With a trip to the thread in between, a commit of the web app's would checkpoint the whole WAL meanwhile.
        """

        def work(connection: "Connection") -> Checkpointed:
            index = self._wal_index
            with contextlib.ExitStack() as at_last:
                if unmark and self._mark.is_set:
                    if index is not None:
                        at_last.callback(index.release_checkpoint_lock)
                        self._write_out_marked(connection, index)
                    self._mark.clear()
                if IS_SAFE or index is None:
                    return checkpoint(connection, may_lock=may_lock)
                return checkpoint_with_reader(connection, self._mark, index.state, may_lock=may_lock)

        return await self.maintain(work)

    async def move_on(self) -> int:
        """Move what the read mark has held back, and move the mark on; return how many bytes are to be written out.

        0 where that can't be: no mark is set, or another process checkpoints.
        """

        def work(connection: "Connection") -> int:
            index = self._wal_index
            if index is None or not self._mark.is_set:
                return 0
            try:
                return self._move_marked(connection, index)
            finally:
                index.release_checkpoint_lock()

        return await self.maintain(work)

    async def write_out(self, dirty: int) -> None:
        """Write the database's pages out, ``dirty`` bytes of them, while its connection goes on."""
        database = own_descriptor(self.path)
        if database is not None:
            with contextlib.suppress(OSError):  # closed meanwhile; and what can't be written, SQLite's fsync is told
                await asyncio.to_thread(write_out, database, dirty)

    def _move_marked(self, connection: "Connection", index: WalIndex) -> int:
        view = index.state()
        if view is None or not _take_patiently(index):
            return 0
        self._mark.move_on(connection)
        return (view.frames - view.moved) * view.page_size

    def _write_out_marked(self, connection: "Connection", index: WalIndex) -> None:
        """Move what the mark has held back, and write it out, while the mark has moved on.

        Returns with the lock of checkpoints taken, if that could be, so that no commit of the web app's checkpoints
        once the mark is removed; SQLite's own next checkpoint releases it.
        """
        dirty, database = self._move_marked(connection, index), own_descriptor(self.path)
        if database is not None and dirty:
            write_out(database, dirty)
        _take_patiently(index)

    async def unmark(self) -> None:
        """Remove the read mark, if one is set."""
        self._forget_end_of_mark()
        if self._mark.is_set and self._connection is not None:
            await asyncio.shield(asyncio.ensure_future(self._unmark(self._connection)))

    async def _unmark(self, connection: SqliteThread) -> None:
        with contextlib.suppress(engine.Error, ValueError):  # it is closed, and so is the mark
            await connection.run(self._mark.clear)

    def _forget_end_of_mark(self) -> None:
        if self._end_of_mark is not None:
            self._end_of_mark.cancel()
            self._end_of_mark = None

    async def sync_wal(self) -> None:
        """Have the WAL on the disk, so that a checkpoint of another process need not wait for that."""
        await asyncio.to_thread(self._wal.sync)

    async def read(self, work: "Callable[[Connection], T]") -> T:
        """Run ``work`` outside of bangeod's transactions; it may run again if the database was locked."""
        return await self._patiently(lambda connection: self._reading(connection, work))

    async def maintain(self, work: "Callable[[Connection], T]") -> T:
        """Run ``work`` as ``read`` does; it may write outside of bangeod's transactions, as a checkpoint does.

        Never on a file that is no longer the one at the path: the WAL may hold commits to the new file.
        """
        return await self._patiently(lambda connection: self._maintaining(connection, work))

    async def write(self, work: "Callable[[Connection], T]") -> tuple[T, float]:
        """Run ``work`` in a transaction; return its result and the seconds for which the lock was held.

        Never writes to a file that is no longer the one at the path. Rolls back on every failure.
        """
        return await self._patiently(
            lambda connection: self._writing(connection, lambda: self._transaction(connection, work))
        )

    async def write_apart(self, work: "Callable[[Connection], T]") -> tuple[T, float]:
        """Run ``work`` as ``write`` does, but ``work`` makes its own transactions, one after the other."""
        return await self._patiently(
            lambda connection: self._writing(connection, lambda: self._transactions(connection, work))
        )

    def _reading(self, connection: "Connection", work: "Callable[[Connection], T]") -> T:
        self._overwritten |= self._watch.look(connection)
        try:
            return leniently(connection, work)
        finally:
            self._watch.settle(connection)

    def _maintaining(self, connection: "Connection", work: "Callable[[Connection], T]") -> T:
        self._check(connection)
        try:
            return work(connection)
        finally:
            self._watch.settle(connection)

    def _check(self, connection: "Connection") -> None:
        """Raise, before anything is written, if the file is no longer the one at the path."""
        self._overwritten |= self._watch.look(connection)
        if self._look() != self._opened or not self._wal.is_in_place or self._overwritten:
            raise faults.replaced(self.path)

    def _writing(self, connection: "Connection", work: "Callable[[], T]") -> tuple[T, float]:
        self._check(connection)
        began = time.perf_counter()
        try:
            result = work()
            if not self._wal.is_known:
                self._wal.see()
            self._watch.committed()
        except BaseException:
            if connection.in_transaction:
                connection.execute(queries.ROLLBACK)
            raise
        held = time.perf_counter() - began
        self._wal.begin_sync()
        return result, held

    def _transaction(self, connection: "Connection", work: "Callable[[Connection], T]") -> T:
        connection.execute(queries.BEGIN)
        with without_checkpoints(self._wal_index):
            result = work(connection)
            connection.execute(queries.COMMIT)
        return result

    def _transactions(self, connection: "Connection", work: "Callable[[Connection], T]") -> T:
        with without_checkpoints(self._wal_index, several=True):
            return work(connection)

    async def _patiently(self, work: "Callable[[Connection], T]") -> T:
        """Retry while the database is locked, for the busy timeout; SQLite's own handler is less considerate."""
        deadline = self._clock.monotonic() + self.busy_timeout
        delay = FIRST_RETRY
        while True:
            try:
                return await self._interruptibly(work)
            except (engine.Error, CheckpointingError) as error:
                if faults.code(error) & 0xFF not in (faults.BUSY, faults.LOCKED):
                    raise self._translated(error) from error
                if self._clock.monotonic() >= deadline:
                    raise faults.locked(self.path, self.busy_timeout) from error
            await asyncio.sleep(delay)
            delay = min(delay * RETRY_GROWTH, LONGEST_RETRY)

    async def _interruptibly(self, work: "Callable[[Connection], T]") -> T:
        """Run on SQLite's thread; a cancellation interrupts the statement and waits until the thread has stopped it.

        Work that has not started is not waited for: it may be queued behind a statement that takes long.
        """
        connection = self._connection
        if connection is None:  # not prepared, or closed by another task that found another file at the path
            self._look()
            raise faults.replaced(self.path)
        raw = connection.raw
        turn = Interruptible()
        running = asyncio.ensure_future(connection.run(lambda: turn.run(work, raw)))
        try:
            return await asyncio.shield(running)
        except (ValueError, engine.ProgrammingError) as error:  # how aiosqlite and SQLite say that it is closed
            if self._connection is connection:
                raise
            raise faults.replaced(self.path) from error
        except asyncio.CancelledError:
            running.add_done_callback(_ignore)  # its error is expected
            while turn.give_up(raw):
                await asyncio.wait([running], timeout=INTERRUPT_EVERY)
            raise

    def _greet(self, connection: "Connection", found: LinkedFile) -> None:
        """Set the connection up and read something, to detect a file that is no database, or has been replaced."""
        for statement in queries.ON_OPEN:
            connection.execute(statement).fetchall()
        connection.execute(queries.SCHEMA_VERSION).fetchall()
        self._wal_index = WalIndex.of(found.path)
        if self._look() != found:
            raise faults.replaced(self.path)

    def _look(self) -> LinkedFile:
        """Return which file the path leads to. Uses only stat(): closing another descriptor drops SQLite's locks."""
        try:
            return LinkedFile.at(self.path)
        except OSError as error:
            if faults.is_missing(self.path):
                raise faults.missing(self.path) from None
            raise faults.unreadable(self.path, error) from error

    def _translated(self, error: Exception) -> Exception:
        problem = faults.translate(self.path, faults.code(error), str(error))
        self._suspect |= not isinstance(problem, StoreLockedError | SchemaError | StoreRefusedError)
        self._damaged |= isinstance(problem, StoreDamagedError)
        return problem


def _ignore(abandoned: "asyncio.Future[Any]") -> None:
    if not abandoned.cancelled():
        abandoned.exception()


def _take_patiently(index: WalIndex) -> bool:
    """Take the lock of checkpoints, unless another process has a lot to move; return whether it was taken."""
    for _ in range(CHECKPOINT_TRIES):
        if index.take_checkpoint_lock():
            return True
        time.sleep(BETWEEN_TRIES)
    return False


def _connect(path: Path) -> "Connection":
    """Open without ever creating a file: an empty file in the database's place would look like a new database."""
    uri = f"file:{quote(os.fspath(path))}?mode=rw"
    connection: Connection = engine.connect(uri, uri=True, timeout=0, isolation_level=None)
    return connection


def _nothing(_connection: "Connection") -> None:
    """Do nothing more than every read does at its start."""
