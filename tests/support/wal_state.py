"""The state of a WAL, as a process that has the database open sees it in the WAL's index."""

from pathlib import Path

from bangeod.store.sqlite.readers import WalIndex, WalView


def wal_state(database: Path) -> WalView:
    """Return the state of the WAL of a database that this process has read."""
    index = WalIndex.of(database)
    assert index is not None
    view = index.state()
    assert view is not None
    return view
