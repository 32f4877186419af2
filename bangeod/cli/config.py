"""``bangeod config``: shows the settings in force."""

import click

from bangeod.cli.options import config_option, load_settings
from bangeod.config import to_toml


@click.group()
def config() -> None:
    """Show the settings in force."""


@config.command()
@config_option
def show(config: str | None) -> None:
    """Print every setting that is in force, as TOML.

    That is the config file, what the environment adds to it, and the defaults for the rest. Keys
    and passwords are masked.
    """
    click.echo(to_toml(load_settings(config)), nl=False)
