"""The program ``bangeod``, also as ``python -m bangeod``."""

import gc
import os
import signal
import sys
from collections.abc import Sequence


def main() -> None:
    if sys.argv[1:2] == ["run"]:
        # Until the daemon installs its own handlers, nothing is running that would have to be shut down.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        # Stays pending until the daemon can handle it; during the stop it does nothing.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        signal.signal(signal.SIGHUP, lambda *_: None)
    from bangeod.cli.streams import guard  # noqa: PLC0415 - the import takes a while, and the signal may come meanwhile

    guard()
    try:
        _call(sys.argv[1:])
    finally:
        gc.freeze()  # else Python looks at all objects again while it ends: an eighth of the time of a short command


def _call(arguments: Sequence[str]) -> None:
    """Call the command; the daemon, as the unit calls it, and ``--version`` without click."""
    match arguments:
        case ["run", *rest] if (config := _config(rest)) is not None:
            gc.disable()  # what is imported stays: it need not be looked at now, nor ever
            from bangeod.cli import daemon  # noqa: PLC0415 - no other command needs it

            gc.freeze()
            gc.enable()
            daemon.main(config or None)
        case ["--version"]:
            from bangeod.cli import version  # noqa: PLC0415 - no other command needs it

            version.main()
        case _:
            from bangeod.cli.group import cli  # noqa: PLC0415 - click, which the daemon does without

            cli.main(prog_name="bangeod")


def _config(arguments: Sequence[str]) -> str | None:
    """Return the file of ``--config FILE``, empty where nothing is said; None for all else, which is click's affair."""
    match arguments:
        case []:
            return ""
        case ["--config", file] if file and not file.startswith("-"):
            return file
        case _:
            return None


if __name__ == "__main__":
    main()
