"""The lowest versions that pyproject.toml allows, as ``python3 -m tests --lowest`` installs them."""

import importlib.metadata
from pathlib import Path

import pytest

from tests import floors

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("requirement", "line"),
    [
        ("click>=8.1", "click==8.1"),
        ("aiohttp>=3.14.4,<4", "aiohttp==3.14.4"),
        ("psycopg[binary]>=3.3,<4", "psycopg==3.3"),
        ("prometheus-client >= 0.21", "prometheus-client==0.21"),
        ("pysqlite3>=0.6.1; platform_machine == 'x86_64'", "pysqlite3==0.6.1; platform_machine == 'x86_64'"),
    ],
)
def test_the_lowest_version_is_taken_and_no_other(requirement: str, line: str) -> None:
    assert floors.exactly(requirement) == line


def test_a_package_without_a_lowest_version_is_refused() -> None:
    with pytest.raises(ValueError, match="'click<9' names no lowest version"):
        floors.exactly("click<9")


def test_each_package_that_bangeod_or_its_extra_for_postgresql_needs_has_one() -> None:
    needed = importlib.metadata.requires("bangeod") or []
    assert len(floors.of(ROOT)) == len([each for each in needed if "extra == 'dev'" not in each])
