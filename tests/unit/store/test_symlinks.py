"""Where a path leads, and what is passed on the way."""

from contextlib import closing
from pathlib import Path

import pytest

from bangeod.store import symlinks
from bangeod.store.sqlite import faults
from bangeod.store.sqlite.engine import engine


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a directory whose own path has no link in it."""
    return symlinks.real(tmp_path)


def test_a_path_without_links_leads_to_itself(home: Path) -> None:
    found = symlinks.route(home / "bangui.db")
    assert found == ((*reversed(home.parents), home), (), home / "bangui.db", False)


def test_a_chain_of_links_through_linked_folders_is_followed_to_its_end(home: Path) -> None:
    for name in ("config", "old", "data"):
        (home / name).mkdir()
    (home / "config/bangui.db").symlink_to("../current/second.db")
    (home / "current").symlink_to(home / "old")
    (home / "old/second.db").symlink_to("../data/./../data/real.db")
    found = symlinks.route(home / "config/bangui.db")
    assert found.links == (home / "config/bangui.db", home / "current", home / "old/second.db")
    assert found.end == symlinks.real(home / "config/bangui.db") == home / "data/real.db"
    assert [path for path in found.directories if path.is_relative_to(home)] == [
        home,
        home / "config",
        home / "old",
        home / "data",
    ]


def test_two_dots_behind_a_linked_folder_lead_out_of_its_target(home: Path) -> None:
    (home / "a/b").mkdir(parents=True)
    (home / "link").symlink_to("a/b")
    assert symlinks.route(home / "link/../real.db").end == home / "a/real.db"


@pytest.mark.parametrize("name", ["one", "one/bangui.db"])
def test_links_that_lead_in_a_circle_are_told(home: Path, name: str) -> None:
    (home / "one").symlink_to("two")
    (home / "two").symlink_to("one")
    found = symlinks.route(home / name)
    assert found.is_circle
    assert found.links == (home / "one", home / "two")
    assert faults.is_missing(home / name)


def test_more_links_than_the_kernel_follows_are_followed_as_sqlite_does(home: Path) -> None:
    for number in range(60):
        (home / f"{number}").symlink_to(f"{number + 1}")
    (home / "60").touch()
    assert symlinks.real(home / "0") == symlinks.route(home / "0").end == home / "60"
    assert not symlinks.route(home / "0").is_circle


def test_a_relative_path_begins_where_the_process_stands(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    (home / "link").symlink_to("real.db")
    assert symlinks.route(Path("link")).end == symlinks.real(Path("link")) == home / "real.db"


def test_sqlite_keeps_its_files_where_beside_says(home: Path) -> None:
    (home / "data").mkdir()
    (home / "folder").symlink_to("data")
    (home / "bangui.db").symlink_to("folder/real.db")
    with closing(engine.connect(home / "bangui.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (a)")
        assert {path.name for path in (home / "data").iterdir()} == {"real.db", "real.db-wal", "real.db-shm"}
        assert symlinks.beside(home / "bangui.db", "-wal") == home / "data/real.db-wal"
    assert [path.name for path in (home / "data").iterdir()] == ["real.db"]
