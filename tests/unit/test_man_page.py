"""The man page can't drift from the program, and is one that man shows without complaint."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bangeod.cli import cli
from tests.unit.test_readme import commands

PAGE = Path(__file__).resolve().parents[2] / "contrib" / "man" / "bangeod.8"
OPTIONS = sorted({option for _, c in [*commands(), ("", cli)] for p in c.params for option in p.opts if "--" in option})


def plain(source: str) -> str:
    """Return a page's text without roff's requests, quotes and fonts."""
    bare = re.sub(r"\\f[BIR]|\"", "", source.replace("\\-", "-"))
    return re.sub(r"^\.[A-Z]+ ", "", bare, flags=re.MULTILINE)


TEXT = plain(PAGE.read_text())


@pytest.mark.parametrize("option", [*OPTIONS, "--help"])
def test_every_option_has_a_paragraph_in_the_man_page(option: str) -> None:
    assert re.search(rf"^{option}\b", TEXT.partition("\nOPTIONS\n")[2], flags=re.MULTILINE)


@pytest.mark.parametrize("command", [name for name, _ in commands()])
def test_a_command_stands_there_with_the_options_that_it_takes(command: str) -> None:
    [line] = re.findall(rf"^{command}\b.*", TEXT, flags=re.MULTILINE)
    [params] = [each.params for name, each in commands() if name == command]
    # --config, which all but one have, is told once.
    assert set(re.findall(r"--[\w-]+", line)) == {o for p in params for o in p.opts if "--" in o} - {"--config"}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed")
def test_man_has_no_complaint_about_it() -> None:
    environ = os.environ | {"MANPAGER": "cat", "MANWIDTH": "80", "LC_ALL": "C.UTF-8"}
    shown = subprocess.run(
        ["man", "--warnings", "--local-file", str(PAGE)], capture_output=True, text=True, check=False, env=environ
    )
    assert (shown.returncode, shown.stderr) == (0, "")
