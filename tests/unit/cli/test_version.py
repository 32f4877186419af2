"""What ``bangeod --version`` says it runs on."""

import platform
from pathlib import Path

import pytest
from click.testing import CliRunner

from bangeod import __version__
from bangeod.cli import version
from bangeod.cli.group import cli
from bangeod.store.sqlite import engine


def library(directory: Path, version: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"libsystemd-shared-{version}.so").touch()


def test_the_version_stands_in_the_first_line_and_below_it_what_it_runs_on() -> None:
    first, python, sqlite, systemd = version.text().splitlines()
    assert first == f"bangeod, version {__version__}"
    bits = platform.architecture()[0].removesuffix("bit")
    assert python == f"Python {platform.python_version()} (cpython, {platform.machine()}, {bits} bits)"
    assert sqlite.startswith(f"SQLite {engine.engine.sqlite_version} ({engine.NAME}")
    assert "systemd" in systemd


def test_click_says_the_same_as_the_short_way_without_it() -> None:
    for words in (["--version"], ["--version", "status"]):
        assert CliRunner().invoke(cli, words).stdout == version.text()


def test_a_sqlite_with_the_wal_reset_bug_is_named_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ("WAL-reset bug" in version.text()) is not engine.IS_SAFE
    monkeypatch.setattr(engine, "IS_SAFE", False)
    assert "it has the WAL-reset bug: see bangeod check)\n" in version.text()


def test_systemds_version_is_in_the_name_of_its_own_library(tmp_path: Path) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    library(elsewhere, "252")
    (elsewhere / "libsystemd-core-252.so").touch()
    assert version.systemd(tmp_path, [here, elsewhere]) == "systemd 252"


def test_the_packages_version_in_its_name_stays(tmp_path: Path) -> None:
    library(tmp_path, "257.13-1.fc42")
    assert version.systemd(tmp_path, [tmp_path]) == "systemd 257.13-1.fc42"


def test_of_two_libraries_the_newer_counts(tmp_path: Path) -> None:
    for number in ("99", "257", "252.39"):
        library(tmp_path, number)
    assert version.systemd(tmp_path, [tmp_path]) == "systemd 257"


def test_a_systemd_that_shows_no_version_is_named_without(tmp_path: Path) -> None:
    assert version.systemd(tmp_path, [tmp_path]) == "systemd of an unknown version"


def test_where_systemd_is_not_the_init_there_is_none(tmp_path: Path) -> None:
    library(tmp_path, "252")
    assert version.systemd(tmp_path / "missing", [tmp_path]) == "no systemd"
