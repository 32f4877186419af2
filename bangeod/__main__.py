"""The program ``bangeod``, also as ``python -m bangeod``."""

import gc
import os
import signal
import sys


def main() -> None:
    if sys.argv[1:2] == ["run"]:
        # Until the daemon installs its own handlers, nothing is running that would have to be shut down.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        # Stays pending until the daemon can handle it; during the stop it does nothing.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        signal.signal(signal.SIGHUP, lambda *_: None)
    from bangeod.cli import cli  # noqa: PLC0415 - the import takes a while, and the signal may come meanwhile
    from bangeod.cli.streams import guard  # noqa: PLC0415 - as above

    guard()
    try:
        cli.main(prog_name="bangeod")
    finally:
        gc.freeze()  # else Python looks at all objects again while it ends: an eighth of the time of a short command


if __name__ == "__main__":
    main()
