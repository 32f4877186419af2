"""Opening an MMDB: by maxminddb's C reader where it was built, else in pure Python."""

from importlib.util import find_spec
from typing import Final

import maxminddb
from maxminddb import MODE_MEMORY, MODE_MMAP_EXT

MODE: Final = MODE_MMAP_EXT if find_spec("maxminddb.extension") else MODE_MEMORY


def open_reader(path: str) -> maxminddb.Reader:
    """Open the MMDB at a path; the pure Python reader, some five times slower, holds all of it in memory.

    Raises what maxminddb raises. The probe and the daemon open through here: what was probed is what is used.
    """
    return maxminddb.open_database(path, MODE)
