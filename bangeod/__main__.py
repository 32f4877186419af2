"""The program ``bangeod``, also as ``python -m bangeod``."""

import os
import signal
import sys


def main() -> None:
    """Run the command line; this does not return."""
    if sys.argv[1:2] == ["run"]:
        # Until the daemon has handlers of its own, nothing has begun that would have to be ended.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        # Waits until the daemon can heed it; when that no longer can, it does nothing.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        signal.signal(signal.SIGHUP, lambda *_: None)
    from bangeod.cli import cli  # noqa: PLC0415 - importing takes a while, in which the signal may come
    from bangeod.cli.streams import guard  # noqa: PLC0415 - as above

    guard()
    cli.main(prog_name="bangeod")


if __name__ == "__main__":
    main()
