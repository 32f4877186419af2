"""``bangeod init`` and ``bangeod config show``, and what the command line does with errors."""

import contextlib
import importlib.metadata
import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from bangeod import __version__
from bangeod.cli import COMMANDS, LazyGroup, cli
from bangeod.config import Settings, differences, load
from bangeod.errors import AlreadyServedError
from bangeod.store.postgres import driver
from bangeod.store.sqlite import schema
from bangeod.store.sqlite.engine import engine


def run(*arguments: str | Path, **environ: str) -> Result:
    blank = dict.fromkeys(("BANGEOD_CONFIG", "BANGEOD_IP_API_KEY", "STATE_DIRECTORY"))
    return CliRunner().invoke(cli, [*map(str, arguments)], env={**blank, **environ})


def everything_in(directory: Path) -> dict[str, bytes | None]:
    paths = sorted(directory.rglob("*"))
    return {str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None for path in paths}


@pytest.mark.parametrize("name", ["plain", "with space", "quo'te\"s", "back\\slash", "Ünïcode ✓", "a#b=c\td"])
def test_init_makes_a_config_that_loads_whatever_the_name(tmp_path: Path, name: str) -> None:
    home = tmp_path / "deep" / name
    result = run("init", home)
    assert result.exit_code == 0, result.output
    settings = load(home / "bangeod.toml", {})
    assert settings.database.path == home / "bangui.db"
    assert settings.api.socket == home / "bangeod.sock"
    assert settings.state.directory == home / "state"
    assert differences(Settings(), settings) == ["database.path", "api.socket", "state.directory"]
    assert settings.state.directory.is_dir()


def test_init_makes_an_empty_database(tmp_path: Path) -> None:
    run("init", tmp_path)
    with contextlib.closing(engine.connect(tmp_path / "bangui.db")) as connection:
        assert connection.execute("SELECT * FROM geo_cache").fetchall() == []
        assert connection.execute("SELECT * FROM sessions").fetchall() == []


@pytest.mark.parametrize(
    ("on_the_path", "program"), [("bangeod", "bangeod"), ("something-else", "/opt/b g/bin/bangeod")]
)
def test_init_prints_the_next_command_so_that_a_shell_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_the_path: str, program: str
) -> None:
    (tmp_path / on_the_path).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["/opt/b g/bin/bangeod"])
    home = tmp_path / "a b's"
    last = run("init", home).stdout.splitlines()[-1]
    assert shlex.split(last) == [program, "run", "--config", str(home / "bangeod.toml")]


@pytest.mark.slow
def test_the_next_command_names_the_interpreter_where_bangeod_was_run_as_a_module(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bangeod", "init", "demo"]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    words = shlex.split(done.stdout.splitlines()[-1])
    assert words == [sys.executable, "-m", "bangeod", "run", "--config", f"{tmp_path}/demo/bangeod.toml"]


@pytest.mark.parametrize("there", ["bangeod.toml", "bangui.db"])
def test_init_overwrites_nothing(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("mine")
    before = everything_in(tmp_path)
    result = run("init", tmp_path)
    assert result.exit_code == 1
    assert f"already there: {tmp_path / there}. Nothing was changed" in result.stderr
    assert everything_in(tmp_path) == before


def test_init_a_second_time_changes_nothing(tmp_path: Path) -> None:
    run("init", tmp_path)
    before = everything_in(tmp_path)
    assert run("init", tmp_path).exit_code == 1
    assert everything_in(tmp_path) == before


def test_init_does_not_write_through_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "bangui.db").symlink_to(tmp_path / "elsewhere")
    assert run("init", tmp_path).exit_code == 1
    assert not (tmp_path / "elsewhere").exists()


def test_init_leaves_nothing_behind_where_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "SESSIONS", "nonsense")
    result = run("init", tmp_path / "a" / "b")
    assert result.exit_code == 1
    assert "the database can't be made" in result.stderr
    assert everything_in(tmp_path) == {}


def test_init_refuses_a_path_that_is_too_long_for_a_socket(tmp_path: Path) -> None:
    result = run("init", tmp_path / ("x" * 100))
    assert result.exit_code == 1
    assert "at most 107 bytes (a limit of Unix sockets)" in result.stderr
    assert everything_in(tmp_path) == {}


def test_init_refuses_a_path_that_is_not_utf8(tmp_path: Path) -> None:
    result = run("init", os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    assert result.exit_code == 1
    assert "is not UTF-8" in result.stderr
    assert everything_in(tmp_path) == {}


def test_init_names_what_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    result = run("init", tmp_path)
    assert result.exit_code == 1
    assert f"{tmp_path}/state can't be made: File exists" in result.stderr
    assert everything_in(tmp_path) == {"state": b""}


# init --database

SECRET = "s3kr3t"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"postgresql://web:{SECRET}@a/b", "a password on the command line can be seen by everybody (ps)"),
        (f"postgresql://a/b?password={SECRET}", "a password on the command line can be seen by everybody (ps)"),
        (f"postgresql://web:{SECRET}@a:x/b", "a port of the host that is no number"),
        ("/var/lib/bangui/bangui.db", "no postgresql:// at its beginning"),
    ],
)
def test_init_takes_no_password_on_the_command_line_and_no_url_with_a_mistake(text: str, told: str) -> None:
    result = run("init", "--database", text)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
    assert SECRET not in result.stderr


def test_init_on_a_server_without_the_extra_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "available", lambda: False)
    result = run("init", "--database", "postgresql:///bangui")
    assert result.exit_code == 1
    assert "pip install 'bangeod[postgres]'" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["demo", "--database", "postgresql:///b"],
        ["demo", "--schema", "web"],
        ["--schema", "web"],
        ["demo", "--database", "postgresql:///b", "--fleet", "postgresql:///b"],
        ["demo", "--role", "web1"],
        ["--database", "postgresql:///b", "--fleet", "postgresql:///b"],
        ["--fleet", "postgresql:///b", "--schema", "web"],
        ["--database", "postgresql:///b", "--role", "web1"],
    ],
)
def test_init_makes_either_a_directory_or_tables(tmp_path: Path, arguments: list[str]) -> None:
    with contextlib.chdir(tmp_path):
        result = run("init", *arguments)
    assert result.exit_code == 2
    assert "either DIRECTORY, or --database URL" in result.stderr
    assert everything_in(tmp_path) == {}


# config show


def test_config_show_prints_the_settings_in_force(tmp_path: Path) -> None:
    file = tmp_path / "bangeod.toml"
    file.write_text('[log]\nlevel = "debug"')
    result = run("config", "show", "--config", file, BANGEOD_IP_API_KEY="s3cret")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert "s3cret" not in result.stdout
    file.write_text(result.stdout)
    assert load(file, {"BANGEOD_IP_API_KEY": "s3cret"}).log.level == "debug"


def test_config_show_takes_the_file_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / "c").write_text('[log]\nlevel = "error"')
    assert 'level = "error"' in run("config", "show", BANGEOD_CONFIG=str(tmp_path / "c")).stdout


def test_a_bad_config_is_exit_status_78_with_a_line_for_each_error(tmp_path: Path) -> None:
    file = tmp_path / "bangeod.toml"
    file.write_text("colour = 1\n[log]\nlevel = 3")
    result = run("config", "show", "--config", file)
    assert result.exit_code == 78
    assert result.stdout == ""
    assert [line.split(": ")[:2] for line in result.stderr.splitlines()] == [
        [str(file), "log.level"],
        [str(file), "colour"],
    ]


# The group


@pytest.fixture
def failing() -> click.Group:
    group = LazyGroup("group", lazy={})

    @group.command()
    def served() -> None:
        raise AlreadyServedError("/x.db")

    @group.command()
    def interrupted() -> None:
        raise KeyboardInterrupt

    return group


def test_an_error_of_bangeod_becomes_its_message_and_its_exit_status(failing: click.Group) -> None:
    result = CliRunner().invoke(failing, ["served"])
    assert result.exit_code == 75
    assert result.stdout == ""
    assert result.stderr == f"{AlreadyServedError('/x.db')}\n"


def test_an_interrupt_is_exit_status_130(failing: click.Group) -> None:
    assert CliRunner().invoke(failing, ["interrupted"]).exit_code == 130


@pytest.mark.parametrize("arguments", [["nonsense"], ["--no"], ["init"], ["init", "a", "b"], ["config", "x"]])
def test_wrong_usage_is_exit_status_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_version_and_help_answer() -> None:
    assert run("--version").stdout.startswith(f"bangeod, version {__version__}\n")
    text = run("--help").stdout
    assert all(f"\n  {name} " in text for name in COMMANDS)


def test_the_version_is_the_one_that_was_installed() -> None:
    """If this fails in a checkout, its version has changed since ``pip install``: install it again."""
    assert importlib.metadata.version("bangeod") == __version__


@pytest.mark.slow
def test_help_imports_no_command() -> None:
    program = (
        "import sys\n"
        "from bangeod.cli import COMMANDS, cli\n"
        "cli.main(['--help'], standalone_mode=False)\n"
        "print(sorted(m for m in sys.modules if m in ('asyncio', 'httpx', 'msgspec', 'bangeod.config')"
        " or m.removeprefix('bangeod.cli.') in COMMANDS))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.slow
def test_a_reader_that_goes_away_is_one_line(tmp_path: Path) -> None:
    run("init", tmp_path)
    read, write = os.pipe()
    os.close(read)
    file = str(tmp_path / "bangeod.toml")
    command = [sys.executable, "-m", "bangeod", "config", "show", "--config", file]
    done = subprocess.run(command, check=False, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert done.returncode == 1
    assert [line[:40] for line in done.stderr.splitlines()] == ["the result can't be written to standard "]
