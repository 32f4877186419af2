"""A commit of bangeod's starts the WAL over only while nobody else begins a checkpoint.

The web app may have an SQLite with the WAL-reset bug (checkpoint.py). Its checkpoints would meet that by a commit of
another process, of whatever SQLite, that starts the WAL over meanwhile. So bangeod holds SQLite's own lock of
checkpoints for such a commit, one after each checkpoint that has moved all. A web app that would checkpoint during that
fraction of a millisecond leaves it to the next commit, as it does beside any other checkpoint.
"""

import contextlib
from collections.abc import Iterator
from typing import Final

from bangeod.store.sqlite import faults
from bangeod.store.sqlite.readers import WalIndex


class CheckpointingError(Exception):
    """Another process checkpoints just now: the transaction may be tried again, as with a lock."""

    sqlite_errorcode: Final = faults.BUSY


@contextlib.contextmanager
def without_checkpoints(index: WalIndex | None, *, several: bool = False) -> Iterator[None]:
    """Keep others from checkpointing, if what is written now may start the WAL over. Raises CheckpointingError.

    To be called in the transaction, so that nobody else starts it over either; with ``several`` before the first of
    them, each of which may do it. Nothing can be done, nor known, without the index.
    """
    view = None if index is None else index.state()
    if index is None or view is None or not (view.starts_over or several):
        yield
    elif index.take_checkpoint_lock():
        try:
            yield
        finally:
            index.release_checkpoint_lock()
    elif view.starts_over:
        raise CheckpointingError
    else:  # who checkpoints now has something to move, so that the WAL goes on
        yield
