"""What is said where PostgreSQL can't be used: the command that mends it, for each way to install bangeod."""

import sys

import pytest

from bangeod.store.postgres import extra


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
