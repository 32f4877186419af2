"""The WAL's file: that what is written to it begins to go to the disk, and what that costs nobody."""

import os
import sys
from contextlib import closing
from pathlib import Path

import pytest

from bangeod.clock import SystemClock
from bangeod.model import DirtyEntry, Geo
from bangeod.store.sqlite import schema, writing_out
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.store import SqliteStore
from bangeod.store.sqlite.wal_file import WalFile
from bangeod.store.sqlite.writing_out import WRITE
from tests.contract.values import NOW, write_all


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "bangui.db"
    schema.create(path)
    return path


async def test_what_is_committed_begins_to_be_written_while_others_may_write(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Path] = []

    def sync_file_range(descriptor: int, offset: int, size: int, flags: int) -> int:
        assert (offset, size, flags) == (0, 0, WRITE)
        begun.append(Path(f"/proc/self/fd/{descriptor}").resolve())
        with closing(engine.connect(path, timeout=0, isolation_level=None)) as web_app:
            assert web_app.execute("SELECT count(*) FROM geo_cache").fetchone() == (1,)
            web_app.execute("BEGIN IMMEDIATE")
        return 0

    monkeypatch.setattr(writing_out, "_sync_file_range", lambda: sync_file_range)
    store = SqliteStore(path, busy_timeout=1.0, max_lock_time=0.01, clock=SystemClock())
    await store.prepare()
    await write_all(store, [DirtyEntry("8.8.8.8", Geo("US"), NOW, NOW)])
    assert begun == [path.with_name("bangui.db-wal")]
    await store.close()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems don't have it")
def test_the_system_takes_the_call(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        assert writing_out._sync_file_range()(descriptor, 0, 0, WRITE) == 0
    finally:
        os.close(descriptor)


def test_where_there_is_no_wal_nothing_is_begun(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing_out, "_sync_file_range", lambda: pytest.fail)
    WalFile(path).begin_sync()
