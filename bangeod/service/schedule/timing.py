"""When jobs run: pure policy. Times are seconds since the epoch, intervals seconds."""

SOON = 5.0  # seconds from the start to the first run that is made up for: READY and the first lookups come before it
SPREAD = 1.0  # seconds between the made-up runs of several jobs, so that they don't start all at once
RETRY = 300.0  # seconds after which a failed run is tried again at the latest
STEP = 2.0  # seconds; a smaller difference between the two clocks comes from slewing by NTP, or from a busy machine
LOOK_AGAIN = 30.0  # seconds after which it is seen at the latest whether another daemon has got on with a job
ON_TIME = 0.1  # a run that starts within this share of its interval is on time


def first_run(
    now: float,
    *,
    interval: float,
    last_success: float | None,
    waits_without_record: bool = False,
    place: int = 0,
) -> float:
    """Return when a job first runs after a start at ``now``, or after its interval has changed.

    One interval after its last success. If that time has passed, the job runs shortly after ``now``, but never later
    than an interval. The same is true for a job without a record (if it ``waits_without_record``, it waits one interval
    instead), and for a job whose record is in the future. ``place`` counts the jobs: runs that are made up for start in
    this order.
    """
    if last_success is None and waits_without_record:
        return now + interval
    soon = now + min(SOON + place * SPREAD, interval)
    if last_success is None or last_success > now:
        return soon
    return max(soon, last_success + interval)


def next_run(planned: float, now: float, *, interval: float) -> float:
    """Return when the run after the one ``planned`` is due, which starts ``now``; always after ``now``.

    Runs that are on time keep to the grid, so that they don't drift. After a late run (a suspend, a step of the clock)
    a whole interval passes, and runs missed in between are not made up for one by one.
    """
    if 0 <= now - planned < interval * ON_TIME:
        return planned + interval
    return now + interval


def retry_run(now: float, *, interval: float, planned: float) -> float:
    """Return when to run again after a run that failed or did not finish; never later than ``planned``."""
    return min(planned, now + min(interval, RETRY))


def is_done_by(ago: float, *, interval: float) -> bool:
    """Return whether a success ``ago`` seconds ago, on whichever daemon, does for a run that is due now.

    One that is an interval old, or is about to be, does not: else a daemon that begins a little early would leave a run
    to others that come to the same.
    """
    return 0 <= ago < interval * (1 - ON_TIME)


def after_success(now: float, ago: float, *, interval: float) -> float:
    """Return when to run next after a success ``ago`` seconds ago, on whichever daemon."""
    return now - ago + interval


def look_again(now: float, *, interval: float, planned: float) -> float:
    """Return when to look again after a job that another daemon was running; never later than ``planned``."""
    return min(planned, now + min(interval, LOOK_AGAIN))


def after_step(planned: float, step: float) -> float:
    """Return the new time of a planned run after the wall clock has stepped by ``step`` seconds.

    After a step back the remaining time is kept. After a step forward (a suspend looks the same) the plan stays: runs
    that are overdue then are due at once.
    """
    return planned + min(step, 0.0)


class ClockWatch:
    """Detects steps of the wall clock, compared with the monotonic one. Used by one thread; holds no clock itself."""

    def __init__(self) -> None:
        self._offset: float | None = None

    def observe(self, wall: float, monotonic: float) -> float:
        """Return by how many seconds the wall clock has stepped since the last call, 0.0 if it has not."""
        offset = wall - monotonic
        step = 0.0 if self._offset is None else offset - self._offset
        self._offset = offset  # each time, so that slow slewing never adds up to a step
        return step if abs(step) >= STEP else 0.0
