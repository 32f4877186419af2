"""What SQLite's result codes mean for bangeod."""

import os
from pathlib import Path

import pytest

from bangeod.errors import (
    SchemaError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreLockedError,
    StoreMissingError,
    StoreReadOnlyError,
    StoreRefusedError,
    StoreReplacedError,
)
from bangeod.store.sqlite import faults


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (5, "database is locked", StoreLockedError),
        (517, "database is locked", StoreLockedError),  # BUSY_SNAPSHOT
        (6, "database table is locked", StoreLockedError),
        (8, "attempt to write a readonly database", StoreReadOnlyError),
        (1_032, "attempt to write a readonly database", StoreReplacedError),  # READONLY_DBMOVED
        (10, "disk I/O error", StoreError),
        (778, "disk I/O error", StoreError),  # IOERR_WRITE
        (11, "database disk image is malformed", StoreDamagedError),
        (13, "database or disk is full", StoreFullError),
        (14, "unable to open database file", StoreReadOnlyError),
        (19, "no", StoreRefusedError),
        (1_299, "NOT NULL constraint failed: geo_cache.note", StoreRefusedError),
        (1_811, "not on my watch", StoreRefusedError),  # CONSTRAINT_TRIGGER
        (26, "file is not a database", StoreDamagedError),
        (1, "no such table: geo_cache", SchemaError),
        (1, "no such column: last_seen", SchemaError),
        (1, "ON CONFLICT clause does not match any PRIMARY KEY or UNIQUE constraint", SchemaError),
        (1, 'near "SELEC": syntax error', StoreError),
        (0, "Cannot operate on a closed database.", StoreError),
    ],
)
def test_a_result_code_has_one_meaning(tmp_path: Path, code: int, text: str, kind: type[StoreError]) -> None:
    path = tmp_path / "bangui.db"
    path.touch()
    error = faults.translate(path, code, text)
    assert type(error) is kind
    assert str(path) in str(error)
    assert error.advice


@pytest.mark.parametrize(("room", "kind"), [(0, StoreFullError), (7, StoreFullError), (8, StoreError)])
def test_an_io_error_where_there_is_no_room_for_a_shm_is_a_full_disk(
    tmp_path: Path, room: int, kind: type[StoreError], monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = os.statvfs_result((4096, 4096, 100, room, room, 100, 100, 100, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _path: disk)
    assert type(faults.translate(tmp_path / "bangui.db", 4_874, "disk I/O error")) is kind  # IOERR_SHMSIZE


def test_a_file_that_is_not_there_is_not_one_that_may_not_be_read(tmp_path: Path) -> None:
    assert type(faults.translate(tmp_path / "bangui.db", 14, "unable to open database file")) is StoreMissingError


def test_a_path_that_cannot_be_looked_at_is_not_missing(tmp_path: Path) -> None:
    assert faults.is_missing(tmp_path / "x")
    (tmp_path / "file").touch()
    assert faults.is_missing(tmp_path / "file" / "x")
    assert not faults.is_missing(tmp_path / "file")
    assert not faults.is_missing(tmp_path / ("x" * 1_000))
