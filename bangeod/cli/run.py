"""`bangeod run`: runs the daemon in the foreground."""

import click

from bangeod.cli import daemon
from bangeod.cli.options import config_option


@click.command()
@config_option
def run(config: str | None) -> None:
    """Run the daemon, in the foreground, until SIGTERM or Ctrl-C; SIGHUP reads the config again."""
    daemon.run(config)
