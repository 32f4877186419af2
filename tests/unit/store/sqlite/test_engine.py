"""The SQLite in use, and the database that is made with it."""

import contextlib
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bangeod.errors import StoreError
from bangeod.store.sqlite import schema
from bangeod.store.sqlite.engine import IS_SAFE, engine, has_wal_reset_fix


@pytest.mark.parametrize(
    ("version", "fixed"),
    [
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 0), False),
        ((3, 45, 9), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 0), False),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 52, 0), True),
        ((4, 0, 0), True),
    ],
)
def test_the_wal_reset_fix_is_in_some_releases(version: tuple[int, int, int], *, fixed: bool) -> None:
    assert has_wal_reset_fix(version) is fixed


def test_is_safe_speaks_of_the_engine_in_use() -> None:
    assert has_wal_reset_fix(engine.sqlite_version_info) == IS_SAFE


def test_pysqlite3_is_the_engine_where_it_is_installed() -> None:
    pytest.importorskip("pysqlite3", reason="there is no wheel of pysqlite3 for this machine")
    assert engine.__name__ == "pysqlite3.dbapi2"


@pytest.mark.slow
def test_pythons_own_sqlite_is_the_engine_where_pysqlite3_is_missing() -> None:
    program = """
import sys
sys.modules["pysqlite3"] = None
from bangeod.store.sqlite.engine import engine
print(engine.__name__)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "sqlite3"


def test_a_new_database_has_both_tables_and_is_in_wal_mode(tmp_path: Path) -> None:
    database = tmp_path / "a b's?é#.db"
    schema.create(database)
    with contextlib.closing(engine.connect(database)) as connection:
        columns = {
            table: [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            for table in ("geo_cache", "sessions")
        }
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert columns == {
        "geo_cache": ["ip", "country_code", "country_name", "asn", "org", "cached_at", "last_seen"],
        "sessions": ["id", "token", "created_at", "expires_at"],
    }
    assert [*tmp_path.iterdir()] == [database]


def test_a_new_database_is_not_for_all_to_read(tmp_path: Path) -> None:
    schema.create(tmp_path / "bangui.db")
    assert not stat.S_IMODE((tmp_path / "bangui.db").stat().st_mode) & 0o007


def test_a_file_that_is_there_is_not_touched(tmp_path: Path) -> None:
    database = tmp_path / "bangui.db"
    database.write_text("mine")
    with pytest.raises(StoreError, match="there is a file already; move it away"):
        schema.create(database)
    assert database.read_text() == "mine"


def test_a_database_that_can_not_be_made_is_named_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"can't be made \(No such file or directory\); choose a directory"):
        schema.create(tmp_path / "missing" / "bangui.db")


def test_a_database_that_was_begun_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "SESSIONS", "CREATE TABLE geo_cache (twice)")
    with pytest.raises(StoreError, match=r"already exists\); look for room"):
        schema.create(tmp_path / "bangui.db")
    assert [*tmp_path.iterdir()] == []
