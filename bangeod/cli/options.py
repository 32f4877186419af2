"""The option that names the config, for all commands, and the loading of the config."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from bangeod.config import Settings, find_file, load

F = TypeVar("F", bound=Callable[..., Any])


def config_option(command: F) -> F:
    """Give a command ``--config FILE``; it is passed as ``config``, None if not given."""
    return click.option(
        "--config",
        metavar="FILE",
        help="The config file.  [default: $BANGEOD_CONFIG, else /etc/bangeod/bangeod.toml]",
    )(command)


def load_settings(option: str | None) -> Settings:
    """Load the config that the option or the environment names. Raises ConfigError."""
    return load(find_file(option, os.environ), os.environ)
