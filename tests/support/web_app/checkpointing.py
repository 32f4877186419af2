"""A second process in the midst of a checkpoint until its standard input ends; it prints a line once it is there.

python -m tests.support.web_app.checkpointing DATABASE [look]

It holds SQLite's lock of checkpoints, as sqlite.org/walformat.html, 2.3, has it, in place of a checkpoint that takes
long. With ``look`` it says whether that is "free" or "taken", and holds nothing.
"""

import fcntl
import sys
from pathlib import Path

CHECKPOINT_LOCK = 121  # WAL_CKPT_LOCK


def main(database: str, *, look: bool) -> None:
    """Hold the lock, and let it go when nobody wants it any more."""
    with Path(f"{database}-shm").open("r+b") as index:
        try:
            fcntl.lockf(index, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, CHECKPOINT_LOCK)
        except BlockingIOError:
            print("taken", flush=True)
            return
        print("free" if look else "checkpointing", flush=True)
        if not look:
            sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], look="look" in sys.argv[2:])
