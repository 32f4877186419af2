"""What is said where PostgreSQL can't be used: the command that mends it, for each way to install bangeod."""

import sys

import pytest

from bangeod.store.postgres import extra, faults
from bangeod.store.postgres.connection import Conninfo


@pytest.mark.parametrize(
    ("prefix", "command"),
    [
        ("/opt/bangeod", "contrib/install --postgres"),
        ("/usr/lib/bangeod", "contrib/debian/build --postgres"),
        ("/home/me/venv", f"{sys.executable} -m pip install 'bangeod[postgres]'"),
    ],
)
def test_the_command_is_the_one_of_the_way_in_which_bangeod_was_installed(
    prefix: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", prefix)
    assert command in extra.missing()


def test_a_store_that_finds_it_missing_says_the_same_as_the_config() -> None:
    told = str(faults.no_driver(Conninfo("host=db.example", "postgresql://db.example/bangui")))
    assert extra.NOT_INSTALLED in told
    assert extra.command() in told
    assert extra.missing() == f"{extra.NOT_INSTALLED}: {extra.command()}"
