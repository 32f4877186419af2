"""The README can't drift from the program: what it names is there, and what is there it names."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from bangeod.cli import cli
from bangeod.errors import AlreadyServedError, BangeodError, ConfigError, UsageError
from bangeod.jobs.job import JobId
from bangeod.store import times

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands(group: click.Command = cli, prefix: str = "bangeod") -> Iterator[tuple[str, click.Command]]:
    """Walk over all commands that do something, by what a person types."""
    if not isinstance(group, click.Group):
        yield prefix, group
        return
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield from commands(command, f"{prefix} {name}")


@pytest.mark.parametrize("command", [name for name, _ in commands()])
def test_every_command_is_in_the_readme(command: str) -> None:
    assert f"`{command}" in README


@pytest.mark.parametrize(
    "name", sorted({option for _, c in commands() for p in c.params for option in p.opts if "--" in option})
)
def test_every_option_is_in_the_readme(name: str) -> None:
    assert name in README


@pytest.mark.parametrize("job", list(JobId))
def test_every_job_is_in_the_readme(job: JobId) -> None:
    assert f"| `{job}` |" in README


@pytest.mark.parametrize("error", [BangeodError, AlreadyServedError, ConfigError, UsageError])
def test_every_exit_status_is_in_the_readme(error: type[BangeodError]) -> None:
    sentence = README[README.index("Exit statuses:") :].split("\n\n")[0]
    assert str(error.exit_status) in re.findall(r"\d+", sentence)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"(?:contrib/|\]\()([\w./-]+)", README))))
def test_every_file_that_the_readme_names_is_there(path: str) -> None:
    if path.startswith("https"):
        pytest.skip("a link to somewhere else")
    assert (ROOT / path).exists() or (ROOT / "contrib" / path).exists()


WORKING = README[README.index("## Working on it") :]


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:bangeod|tests|contrib)/[\w./-]+)`", WORKING))))
def test_what_is_said_to_be_touched_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_the_commands_that_do_everything_are_one_line_each() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    assert blocks[0].count("\n") == 1
    assert "python3 -m tests\n" in blocks


def test_no_placeholder_is_left() -> None:
    assert not re.findall(r"^@\w+@$", README, flags=re.MULTILINE)


def test_every_time_that_the_readme_shows_is_read_as_the_same_one() -> None:
    section = README.partition("### Times in the database")[2].partition("\n## ")[0]
    examples = [
        example for row in section.splitlines() if row[:2] == "| " for example in re.findall(r"`(\d[^`]+)`", row)
    ]
    assert len(examples) == 5
    assert {times.whole_seconds(example) for example in examples} == {1_796_016_086}


@pytest.mark.parametrize("file", ["README.md", "contrib/install", "contrib/debian/build", "contrib/wheels.sh"])
def test_the_wheels_to_install_without_a_network_are_said_to_be_all_that_are_needed(file: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (backend,) = (need.partition(">")[0] for need in project["build-system"]["requires"])
    assert f"pip wheel --wheel-dir DIR . {backend}" in (ROOT / file).read_text()
