"""The parts of a job: an id, a declaration, a body, and a report of each run."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from bangeod.clock import Clock

if TYPE_CHECKING:  # `bangeod status` needs the ids, but none of these modules
    from bangeod.geo.cache.cache import GeoCache
    from bangeod.jobs.ban_watch import BanWatch
    from bangeod.jobs.kept_rows import KeptRows
    from bangeod.store.port import Store

# The share of a job's timeout that is reserved for ending cleanly.
MARGIN_SHARE = 0.1
LONGEST_MARGIN = 2.0  # seconds


# Each line registers a job; the registry finds its declaration in the module named like its id. The order is the one
# of lists, and of runs that are made up for after a start.
class JobId(StrEnum):
    """The ids of the jobs; stable, they name jobs in the config, the logs and the state file."""

    GEO_CACHE_FLUSH = "geo_cache_flush"
    GEO_RE_RESOLVE = "geo_re_resolve"
    GEO_CACHE_CLEANUP = "geo_cache_cleanup"
    SESSION_CLEANUP = "session_cleanup"


class Outcome(StrEnum):
    """How a run ended."""

    DONE = "done"
    UNFINISHED = "unfinished"  # its time was up; its work so far is kept, the rest follows soon
    FAILED = "failed"
    TIMED_OUT = "timed_out"


async def _alone() -> None:
    """Do nothing: no other daemon waits for this one."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a job body knows of its run."""

    clock: Clock
    deadline: float  # monotonic; the body ends by itself before it
    dry: bool = False  # change nothing, report what would be done
    # To be awaited before anything is asked over the network: from then on other daemons may run the job beside this.
    before_network: Callable[[], Awaitable[None]] = _alone

    def time_left(self) -> float:
        """Return the seconds until the body has to end; 0 or less if no time is left."""
        return self.deadline - self.clock.monotonic()

    @staticmethod
    def within(timeout: float, clock: Clock, *, dry: bool = False) -> "Run":
        """Begin a run that is cancelled after ``timeout`` seconds; its deadline is a little earlier."""
        margin = min(timeout * MARGIN_SHARE, LONGEST_MARGIN)
        return Run(clock, clock.monotonic() + timeout - margin, dry)


@dataclass(frozen=True, slots=True)
class Result:
    """What a job body did."""

    figures: Mapping[str, object] = field(default_factory=dict)
    finished: bool = True


@dataclass(frozen=True, slots=True)
class Report:
    """One run, for the person who asked for it, the status and the schedule."""

    job_id: JobId
    correlation_id: str
    started_at: float  # seconds since the epoch
    duration: float  # seconds
    outcome: Outcome
    dry: bool = False
    figures: Mapping[str, object] = field(default_factory=dict)
    problem: str | None = None
    condition: str | None = None  # the problem in two words, if two words are enough
    of_database: bool = False  # whether the problem is that the database can't be used

    @property
    def succeeded(self) -> bool:
        """Whether the run did all its work."""
        return self.outcome is Outcome.DONE


class Job(Protocol):
    """A periodic job. Its body may be cancelled at any await and run again without harm."""

    @property
    def id(self) -> JobId:
        """Its stable id."""

    async def run(self, run: Run) -> Result:
        """Do the work; raises BangeodError if that is not possible now."""


class Tools(NamedTuple):
    """The objects that jobs work with; all jobs share them."""

    store: "Store"
    cache: "GeoCache"
    bans: "BanWatch"
    kept: "KeptRows"


class Counts(NamedTuple):
    """Which figures in a job's reports are numbers of rows: status and metrics show their sums."""

    written: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()  # rows that a run passes over; only those of the last run count


class Declaration(NamedTuple):
    """All that the rest of bangeod knows of a job; each job's module has one, ``DECLARATION``.

    The table of the same name in the config says whether the job runs, how often and for how long. The defaults are in
    config/settings.py: commands read the config without importing a job.
    """

    id: JobId
    description: str  # what it does, as `bangeod job list` shows it
    make: Callable[[Tools, Any], Job]  # the second argument is its table in the config
    counts: Counts = Counts()
    keeps_record: bool = True  # of its last success: a run that was missed while the daemon was down is made up for
    waits_without_record: bool = False  # without a record it runs an interval after the start, not shortly after it
    for_all: bool = False  # of the daemons on one database: it runs on one of them at a time, which does it for all
    is_own: Callable[[Tools], bool] = lambda _tools: False  # whether it has work here that is done on no other daemon
    scheduled_with: tuple[str, ...] = ()  # keys of its table that its log line `…_scheduled` has, after the interval
