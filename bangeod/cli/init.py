"""``bangeod init``: makes a config and an empty database in a new directory, or tables on a PostgreSQL server."""

import contextlib
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import tomli_w

from bangeod.config import load
from bangeod.errors import ConfigError
from bangeod.store.sqlite import schema as sqlite_schema

_TEMPLATE = """\
# bangeod's configuration. What is not named here has its default: `bangeod config show --config FILE` prints
# every key that there is with its value, and bangeod.toml.example says what each is for.

[database]
# The SQLite database with the tables geo_cache and sessions; BanGUI's, where BanGUI is installed.
{database}
[api]
# Where the daemon listens for lookups of the web app and of the command line.
{socket}
[state]
# What bangeod remembers between two starts.
{state}"""
_FLEET = """
[fleet]
# Through this database hosts tell each other what they find out; the others call this one by its name.
{url}{host}"""


@click.command()
@click.argument("directory", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--database", metavar="URL", help="Make the tables in this database of a PostgreSQL server.")
@click.option("--schema", metavar="NAME", help="With --database: make them in this schema.")
@click.option("--fleet", metavar="URL", help="Make the tables of a fleet in this database of a PostgreSQL server.")
@click.option(
    "--role", "roles", metavar="NAME", multiple=True, help="With --fleet: let this role use them; repeatable."
)
def init(
    directory: Path | None, database: str | None, schema: str | None, fleet: str | None, roles: Sequence[str]
) -> None:
    """Make DIRECTORY with a config and an empty database in it, or the tables on a server.

    This is the way to try bangeod, or to use it without BanGUI. Nothing that is there already is
    overwritten, and tables that are there are left as they are.
    """
    is_clear = (directory is not None or fleet is not None) if database is None else directory is None and fleet is None
    if not is_clear or (schema is not None and database is None) or (roles and fleet is None):
        raise click.UsageError(
            "either DIRECTORY, or --database URL and perhaps --schema NAME, or --fleet URL and perhaps --role NAME, "
            "or DIRECTORY with --fleet URL, for a host of that fleet"
        )
    if database is not None or fleet is not None:
        from bangeod.cli import init_server  # noqa: PLC0415 - to make a directory needs nothing of it

    if database is not None:
        click.echo(init_server.make_tables(database, schema))
    if fleet is not None:
        click.echo(init_server.make_fleet(fleet, roles))
    if directory is not None:
        _make_home(directory, fleet)


def _make_home(directory: Path, fleet: str | None) -> None:
    home = Path(os.path.abspath(directory))  # noqa: PTH100  resolve() would follow symbolic links
    config = home / "bangeod.toml"
    content = _config_text(home, fleet)
    _refuse_to_overwrite(config, home / "bangui.db")
    try:
        with contextlib.ExitStack() as undo:
            _make_directory(home, undo)
            _make_directory(home / "state", undo)
            sqlite_schema.create(home / "bangui.db")
            undo.callback((home / "bangui.db").unlink)
            _write_new(config, content, undo)
            load(config, {})
            undo.pop_all()
    except OSError as error:
        raise click.ClickException(
            f"{error.filename or home} can't be made: {error.strerror}. Nothing was left behind; "
            "choose a directory that this user may write to."
        ) from None
    except ConfigError as error:
        problems = "; ".join(finding.problem for finding in error.findings)
        raise click.ClickException(f"{home} is no place for bangeod: {problems}. Choose another.") from None
    click.echo(f"Made {config} and an empty database beside it. Now start the daemon:\n")
    click.echo(f"    {_own_command()} run --config {shlex.quote(str(config))}")


def _config_text(home: Path, fleet: str | None) -> bytes:
    def line(key: str, value: object) -> str:
        return tomli_w.dumps({key: str(value)})

    text = _TEMPLATE.format(
        database=line("path", home / "bangui.db"),
        socket=line("socket", home / "bangeod.sock"),
        state=line("directory", home / "state"),
    )
    if fleet is not None:
        text += _FLEET.format(url=line("url", fleet), host=line("host", "-".join(home.name.split())))
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise click.ClickException("the path is not UTF-8, as TOML has to be: choose another") from None


def _refuse_to_overwrite(*files: Path) -> None:
    there = [str(file) for file in files if os.path.lexists(file)]
    if there:
        raise click.ClickException(
            f"already there: {' and '.join(there)}. Nothing was changed; choose another directory, "
            "or move what is there away."
        )


def _make_directory(directory: Path, undo: contextlib.ExitStack) -> None:
    for path in [*reversed(directory.parents), directory]:
        if not path.is_dir():
            path.mkdir()
            undo.callback(path.rmdir)


def _write_new(file: Path, content: bytes, undo: contextlib.ExitStack) -> None:
    # Not readable for all: a key may be put into it later.
    with open(file, "xb", opener=lambda name, flags: os.open(name, flags, 0o640)) as config:
        undo.callback(file.unlink)
        config.write(content)


def _own_command() -> str:
    """Return how this program was called, for a next command that can be pasted."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m bangeod"
    if program.name == "bangeod" and not shutil.which("bangeod"):
        return shlex.quote(sys.argv[0])
    return "bangeod"
