"""`bangeod run`: runs the daemon in the foreground."""

import os
from pathlib import Path

import click

from bangeod.cli import daemon_libraries  # noqa: F401 - before what imports them in another way
from bangeod.cli.options import config_option
from bangeod.clock import SystemClock
from bangeod.config import find_file, load
from bangeod.service.daemon import serve
from bangeod.service.log import setup


@click.command()
@config_option
def run(config: str | None) -> None:
    """Run the daemon, in the foreground, until SIGTERM or Ctrl-C; SIGHUP reads the config again."""
    file = Path(find_file(config, os.environ)).absolute()
    settings = load(file, os.environ)
    setup.configure(settings.log.level, settings.log.format, environ=os.environ)
    serve(settings, file, SystemClock())
