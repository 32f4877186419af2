"""The SQLite in use, and the database that is made with it."""

import contextlib
import importlib.util
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bangeod.errors import StoreError
from bangeod.store.sqlite import schema
from bangeod.store.sqlite.engine import IS_SAFE, NAME, engine, has_wal_reset_fix

Version = tuple[int, int, int]


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


def test_the_engine_is_one_with_a_sqlite_of_its_own_where_there_is_one() -> None:
    if not any(map(importlib.util.find_spec, ("pysqlite3", "sqlcipher3"))):
        pytest.skip("neither pysqlite3 nor sqlcipher3 is here: they have wheels for x86-64 and arm64 alone")
    assert IS_SAFE
    assert NAME in ("pysqlite3", "sqlcipher3")


# What stands in the place of a library: a module that has its interface as far as the choice goes.
LIBRARY = """
sys.modules["{name}"] = package = types.ModuleType("{name}")
package.dbapi2 = sys.modules["{name}.dbapi2"] = types.ModuleType("{name}.dbapi2")
package.dbapi2.sqlite_version_info = {version}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pysqlite3", "sqlcipher3", "own", "chosen"),
    [
        ((3, 53, 4), (3, 53, 4), (3, 40, 1), "pysqlite3"),
        (None, (3, 53, 4), (3, 40, 1), "sqlcipher3"),
        ((3, 40, 1), (3, 53, 4), (3, 40, 1), "sqlcipher3"),
        ((3, 40, 1), None, (3, 53, 0), "sqlite3"),
        ((3, 46, 1), (3, 46, 1), (3, 46, 1), "sqlite3"),
        (None, None, (3, 40, 1), "sqlite3"),
    ],
)
def test_the_first_library_without_the_bug_is_the_engine_else_pythons_own(
    pysqlite3: Version | None, sqlcipher3: Version | None, own: Version, chosen: str
) -> None:
    program = ["import sqlite3, sys, types", f"sqlite3.sqlite_version_info = {own}"]
    for name, version in (("pysqlite3", pysqlite3), ("sqlcipher3", sqlcipher3)):
        program.append(LIBRARY.format(name=name, version=version) if version else f"sys.modules[{name!r}] = None")
    program.append("from bangeod.store.sqlite.engine import IS_SAFE, NAME, own_version")
    program.append("print(NAME, IS_SAFE, own_version())")
    done = subprocess.run([sys.executable, "-c", "\n".join(program)], check=True, capture_output=True, text=True)
    versions = {"pysqlite3": pysqlite3, "sqlcipher3": sqlcipher3, "sqlite3": own}
    is_safe = has_wal_reset_fix(versions[chosen] or own)
    assert done.stdout == f"{chosen} {is_safe} {own}\n"


@pytest.mark.slow
def test_a_library_that_is_of_no_use_is_not_loaded() -> None:
    program = "import sys; from bangeod.store.sqlite.engine import NAME; print(NAME, 'sqlite3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == f"{NAME} {NAME == 'sqlite3'}\n"


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
