"""The command line: one group of commands; the module of a command is imported when the command is called."""

import gc
import importlib
import sys
from collections.abc import Mapping
from typing import Any

import click

from bangeod.cli.failures import INTERRUPTED, tell
from bangeod.errors import BangeodError, OutputError

# Each command is the object of that name in the module of that name here. Its line of help is here too,
# so that ``bangeod --help`` imports none of them.
COMMANDS = {
    "init": "Make a config and an empty database, to try bangeod or to use it without BanGUI.",
    "run": "Run the daemon, in the foreground.",
    "check": "Check config, database, permissions and geo databases.",
    "job": "List the jobs, or run one by hand.",
    "lookup": "Say where addresses are.",
    "migrate": "Copy both tables from SQLite to a PostgreSQL server.",
    "top": "Show where most addresses, or most bans, come from.",
    "geodb": "Fetch geo databases.",
    "status": "Show how the running daemon stands.",
    "config": "Show the settings in force.",
}


class LazyGroup(click.Group):
    """A group that imports a command when it is called, and maps its errors to an exit status."""

    def __init__(self, *args: Any, lazy: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table, which is the order in which a user needs them."""
        return [*self._lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        gc.disable()  # imported modules stay: scanning them again and again takes a twentieth of the time
        try:
            command: click.Command = getattr(importlib.import_module(f"{__package__}.{cmd_name}"), cmd_name)
        finally:
            gc.enable()
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, without importing them."""
        names = self.list_commands(ctx)
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._lazy.get(name, "")) for name in names])

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line; help or completion texts that can't be written are an error, too."""
        try:
            return super().main(*args, **kwargs)
        except OutputError as error:
            tell(error)
            sys.exit(error.exit_status)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error raised on purpose becomes one message and its exit status."""
        try:
            return super().invoke(ctx)
        except BangeodError as error:
            tell(error)
            ctx.exit(error.exit_status)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)


def _tell_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from bangeod.cli import version  # noqa: PLC0415 - no command needs it

        click.echo(version.text(), nl=False)
        ctx.exit()


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_tell_version,
    help="Show the version, and what bangeod runs on.",
)
def cli() -> None:
    """Keep BanGUI's database in order and put a country beside fail2ban's bans.

    Each command takes --config FILE after its name, where it needs one. The file is looked for
    there, then in $BANGEOD_CONFIG, then at /etc/bangeod/bangeod.toml.
    """
