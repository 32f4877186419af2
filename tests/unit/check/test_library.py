"""What ``bangeod check`` says of the SQLite in use and of the system's."""

import re
import tomllib
from pathlib import Path

import pytest

from bangeod.check import library
from bangeod.check.finding import Level
from bangeod.store.sqlite.engine import has_wal_reset_fix

ROOT = Path(__file__).resolve().parents[3]
TITLE = "Two SQLites on one database"
FIXED, UNFIXED = (3, 53, 4), (3, 40, 1)


def test_a_library_with_the_fix_is_named_beside_a_python_that_has_it_too() -> None:
    (finding,) = library.judge("pysqlite3", "3.53.4", FIXED, is_safe=True, mend="")
    assert (finding.level, finding.where, finding.problem) == (Level.OK, "pysqlite3", "SQLite 3.53.4")


def test_the_systems_sqlite_is_judged_too_as_the_web_app_may_use_it() -> None:
    _, finding = library.judge("pysqlite3", "3.53.4", UNFIXED, is_safe=True, mend="")
    assert (finding.level, finding.where) == (Level.OK, "sqlite3")
    assert "Python's own SQLite is 3.40.1, with the WAL-reset bug" in finding.problem
    assert f"\n### {TITLE}\n" in (ROOT / "README.md").read_text()
    assert TITLE in finding.problem


def test_a_library_with_the_bug_is_warned_about_with_what_mends_it() -> None:
    (finding,) = library.judge("sqlite3", "3.40.1", UNFIXED, is_safe=False, mend="another")
    assert (finding.level, finding.where, finding.mend) == (Level.WARNING, "sqlite3", "another")
    assert "SQLite 3.40.1 has the WAL-reset bug" in finding.problem


@pytest.mark.parametrize(("machine", "package"), library.PACKAGES.items())
def test_where_there_is_a_wheel_pip_fetches_that_and_builds_nothing(machine: str, package: str) -> None:
    mend = library.mend(machine, "CPython", (3, 14), is_64_bit=True)
    assert f"-m pip install --only-binary :all: '{package}'" in mend


@pytest.mark.parametrize(
    ("machine", "implementation", "python", "is_64_bit"),
    [
        ("riscv64", "CPython", (3, 13), True),
        ("armv7l", "CPython", (3, 13), False),
        ("aarch64", "CPython", (3, 13), False),  # a 32-bit Python on a 64-bit kernel
        ("x86_64", "CPython", (3, 15), True),
        ("x86_64", "PyPy", (3, 11), True),
    ],
)
def test_where_there_is_none_pip_is_not_advised(
    machine: str, implementation: str, python: tuple[int, int], *, is_64_bit: bool
) -> None:
    mend = library.mend(machine, implementation, python, is_64_bit=is_64_bit)
    assert "pip" not in mend
    assert "a Python with SQLite 3.51.3 or newer" in mend


def test_what_is_called_fixed_is() -> None:
    numbers = [int(part) for part in library.FIXED.split(".")]
    assert has_wal_reset_fix((numbers[0], numbers[1], numbers[2]))


def test_the_packages_are_those_that_are_installed_where_they_have_wheels() -> None:
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    pattern = re.compile(
        r"((?:pysqlite3|sqlcipher3)>=[\d.]+); platform_machine == '(\w+)' .*python_version < '([\d.]+)'"
    )
    found = [match.groups() for match in map(pattern.fullmatch, needed) if match]
    before = ".".join(map(str, library.FIRST_WITHOUT))
    assert found == [(package, machine, before) for machine, package in library.PACKAGES.items()]
