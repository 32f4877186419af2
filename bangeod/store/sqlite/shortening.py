"""Giving back the room of a WAL file that a great transaction of another program has made long.

SQLite starts the WAL over once it is checkpointed, but leaves its file as long as it ever was: after a VACUUM as long
as the database, for as long as anybody has that open. It shortens the file at a commit that starts the WAL over, to
``journal_size_limit``, with the write lock held; to give back a lot takes long. So it is done in steps, each a commit
that writes what is there already, and only while nobody reads for long: a backup begins anew when the WAL starts over.
"""

import asyncio
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bangeod.store.sqlite import queries
from bangeod.store.sqlite.connection import SharedFile
from bangeod.store.sqlite.slicing import WriteGate
from bangeod.store.sqlite.wal_file import wal_beside

if TYPE_CHECKING:
    from collections.abc import Callable
    from sqlite3 import Connection

USUAL_FRAMES: Final = 1_000  # at which SQLite checkpoints by itself: the web app's WAL grows to that, and a little more
FRAME_HEADER: Final = 24  # bytes; sqlite.org/fileformat2.html, 4.1
LONG: Final = 2.0  # times the usual length
STEP: Final = 4 * 1024 * 1024  # bytes; on ext4 1.3 ms, beside the fsync that starting the WAL over takes in any case
MISSES: Final = 20  # looks or steps in a row at which somebody reads, or has written in between, before it is given up
QUIET_LOOKS: Final = 40
MOST_SEEN: Final = 0.25  # of these looks, at which one process may be seen reading: a backup is at nearly all
LOOK_EVERY: Final = 0.005  # seconds


async def shorten(file: SharedFile, gate: WriteGate) -> None:
    """Bring a long WAL file back to its usual length, as far as nobody is in the way. Raises StoreError."""
    path = wal_beside(file.path)
    page_size: int = await file.read(lambda connection: connection.execute(queries.PAGE_SIZE).fetchone()[0])
    usual = USUAL_FRAMES * (page_size + FRAME_HEADER)
    if _length(path) <= LONG * usual or not await _is_quiet(file):
        return
    misses = 0
    try:
        while (length := _length(path)) > usual and misses < MISSES:
            if not _readers(file):
                await gate.finish()  # only a WAL with nothing left to move starts over
                await gate.write(_step(max(usual, length - STEP)), rows=lambda _result: 1)
            if _length(path) < length:
                misses = 0
            else:
                misses += 1
                await asyncio.sleep(LOOK_EVERY)
    finally:
        await file.read(lambda connection: connection.execute(queries.ANY_SIZE_OF_WAL).fetchall())
        await gate.finish()


def _step(limit: int) -> "Callable[[Connection], None]":
    def work(connection: "Connection") -> None:
        connection.execute(queries.SIZE_OF_WAL.format(limit=limit)).fetchall()
        (version,) = connection.execute(queries.USER_VERSION).fetchone()
        connection.execute(queries.SET_USER_VERSION.format(version=version)).fetchall()

    return work


async def _is_quiet(file: SharedFile) -> bool:
    """Say whether nobody reads for long; who reads now and then is no reason to wait."""
    seen: Counter[int] = Counter()
    for _ in range(QUIET_LOOKS):
        seen.update(_readers(file))
        await asyncio.sleep(LOOK_EVERY)
    return max(seen.values(), default=0) <= MOST_SEEN * QUIET_LOOKS


def _readers(file: SharedFile) -> set[int]:
    """Return the processes that read just now, as far as that can be seen."""
    view = file.look_at_readers()
    return {reader.process for reader in view.readers} if view is not None else set()


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # there is none
        return 0
