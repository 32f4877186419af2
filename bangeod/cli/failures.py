"""What a command says, and its exit status, where an error ends it that was raised on purpose."""

import os
import sys
from typing import Final

from bangeod.errors import BangeodError

INTERRUPTED: Final = 130  # the status that a shell reports for a command that SIGINT ended


def tell(error: BangeodError) -> None:
    """Write the message of an error to standard error."""
    sys.stderr.write(f"{_for_stderr(str(error))}\n")
    sys.stderr.flush()


def _for_stderr(text: str) -> str:
    """Mark each line as an error if the journal reads standard error, so that ``journalctl -p err`` shows it."""
    from bangeod.service.log.journal import is_journal  # noqa: PLC0415 - hardly ever needed

    try:
        journal = is_journal(sys.stderr.fileno(), os.environ)
    except (OSError, ValueError):  # closed, or not a file
        journal = False
    if not journal:
        return text
    return "\n".join(f"<3>{line}" for line in text.splitlines())  # sd-daemon(3)
