"""Opening an MMDB: by maxminddb's C reader where it was built, else in pure Python."""

from importlib.util import find_spec
from typing import Final

import maxminddb
from maxminddb import MODE_MEMORY, MODE_MMAP_EXT

MODE: Final = MODE_MMAP_EXT if find_spec("maxminddb.extension") else MODE_MEMORY


def open_reader(path: str) -> maxminddb.Reader:
    """Open the MMDB at a path; the pure Python reader is some five times slower, and holds all of it in memory.

    Raises what maxminddb raises. Probe and daemon both open files here, so the daemon uses the reader that was probed.
    """
    return maxminddb.open_database(path, MODE)
