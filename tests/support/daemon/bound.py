"""Being a user whom file modes bind, in this very process."""

import concurrent.futures.thread  # noqa: F401 - imported when needed, and nobody may be unable to read it
import os
from collections.abc import Iterator
from contextlib import contextmanager

NOBODY = 65_534


@contextmanager
def bound_by_file_modes() -> Iterator[None]:
    """Be nobody while the block lasts, in all threads, where this is root; else stay who one is."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
