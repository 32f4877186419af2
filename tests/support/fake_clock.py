"""The wall clock of another process, set from here while it runs: libfaketime, with the monotonic clock left alone.

Debian's package holds it. Where it is not installed it is fetched with apt-get and only unpacked, into a cache.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support import debian_package
from tests.support.mmdb.published import NotToBeHadError

PACKAGE = "libfaketime"
LIBRARY = "usr/lib/*/faketime/libfaketimeMT.so.1"  # the one for programs with threads


def library(cache: Path) -> Path:
    """Return the library: the system's, the one in the cache, or else apt's. Raises NotToBeHadError."""
    for root in (Path("/"), cache / PACKAGE):
        for found in root.glob(LIBRARY):
            return found
    for found in debian_package.unpack(PACKAGE, cache).glob(LIBRARY):
        return found
    raise NotToBeHadError(f"the package {PACKAGE} has no {LIBRARY}")


class FakeClock:
    """What a process takes for the time of day: the real one, until it is told otherwise."""

    def __init__(self, preloaded: Path, file: Path) -> None:
        self._library = preloaded
        self.file = file
        self._offset = timedelta(0)
        self._write()

    @property
    def environ(self) -> Mapping[str, str]:
        """Return what the process has to find in its environment."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",  # or a change would be seen after ten seconds
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",  # the older name
            "NO_FAKE_STAT": "1",  # times of files are as the kernel says
        }

    def now(self) -> datetime:
        """Return the time that the process sees."""
        return datetime.now(UTC) + self._offset

    def step(self, by: timedelta) -> None:
        """Put the clock on, or back, by so much."""
        self._offset += by
        self._write()

    def set(self, moment: datetime) -> None:
        """Have the process believe that it is this moment; the clock goes on from there."""
        self._offset = moment - datetime.now(UTC)
        self._write()

    def _write(self) -> None:
        unfinished = self.file.with_suffix(".part")
        unfinished.write_text(f"{self._offset.total_seconds():+.6f}\n")
        unfinished.replace(self.file)
