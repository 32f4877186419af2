"""What every trial is, and is made with: sizes, a daemon on a database of its own, the forms of its figures."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from tests.benchmarks import databases
from tests.benchmarks.against.builds import Build
from tests.benchmarks.against.comparison import Figures
from tests.benchmarks.against.measured_daemon import MeasuredDaemon, measured_daemon
from tests.benchmarks.beside import MIB
from tests.benchmarks.scale import Scale

ROWS: Final = 1_000_000  # of the table that is loaded, and of those that are cleaned up
CACHED: Final = 100_000  # of those whose addresses are only looked up
IPV6: Final = 0.15  # of the addresses
REPEATED: Final = 5  # times that what is short is measured a turn; the median counts (quick: once)


class Trial(Protocol):
    """Something that is measured of each build."""

    @property
    def title(self) -> str:
        """Return what the table is called."""

    @property
    def notes(self) -> Sequence[str]:
        """Return what is to be said below it."""

    def measure(self, build: Build, home: Path) -> Figures:
        """Return the figures of one build, in one turn; ``home`` is an empty directory."""


def repeated(scale: Scale) -> int:
    """Return how often a turn measures what is short."""
    return 1 if scale.quick else REPEATED


@contextmanager
def daemon_on(
    build: Build, home: Path, template: Path, settings: Mapping[str, object] | None = None
) -> Iterator[tuple[MeasuredDaemon, Path]]:
    """Start a daemon on a copy of a database; hand out both."""
    home.mkdir(exist_ok=True)
    database = databases.copy(template, home / "bangui.db")
    with measured_daemon(build, home, database, settings) as daemon:
        yield daemon, database


# --- how figures are written ----------------------------------------------------------------------------------------


def fine(seconds: float) -> str:
    """Write a short duration."""
    return f"{seconds * 1000:,.2f} ms"


def in_seconds(seconds: float) -> str:
    """Write a long duration."""
    return f"{seconds:,.2f} s"


def in_mib(size: float) -> str:
    """Write a size."""
    return f"{size / MIB:,.1f} MiB"


def in_bytes(size: float) -> str:
    """Write a small size."""
    return f"{size:,.1f} B"


def a_second(number: float) -> str:
    """Write a rate."""
    return f"{number:,.0f}/s"


def count(number: float) -> str:
    """Write how many there are."""
    return f"{number:,.0f}"
