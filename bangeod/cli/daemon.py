"""Running the daemon for ``bangeod run``, without click: it would stay in memory for as long as the daemon runs."""

import os
import sys
from pathlib import Path

from bangeod.cli import daemon_libraries  # noqa: F401 - before what imports them in another way
from bangeod.cli.failures import INTERRUPTED, tell
from bangeod.clock import SystemClock
from bangeod.config import find_file, load
from bangeod.errors import BangeodError
from bangeod.service.daemon import serve
from bangeod.service.log import setup


def run(config: str | None) -> None:
    """Run the daemon until it is asked to stop. Raises BangeodError."""
    file = Path(find_file(config, os.environ)).absolute()
    settings = load(file, os.environ)
    setup.configure(settings.log.level, settings.log.format, environ=os.environ)
    serve(settings, file, SystemClock())


def main(config: str | None) -> None:
    """Do what the command does: run the daemon, and exit."""
    try:
        run(config)
    except BangeodError as error:
        tell(error)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    sys.exit(0)
