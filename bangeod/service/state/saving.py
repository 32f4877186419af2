"""When the success of a job has to be on the disk: pure policy. Times are seconds since the epoch.

What a save writes to the disk is thousands of times as long as the time in it (24 to 32 KiB on ext4), and an SD card
wears by that. So a success is saved at once only where a loss would cost something: the first one of a process, since a
daemon that crashes again and again would else do the job anew each time, and any that comes hours after the one saved
last, which is each of the cleanups. The others wait in memory for the next change that is saved, for these hours at
most, or for the stop. A kill or a loss of power costs what waits; the next start then does the job once more than it
had to.
"""

from typing import Final

LONGEST_WAIT: Final = 14_400.0  # seconds; less than the intervals that the cleanups have by default


def may_wait(at: float, *, saved: float | None) -> bool:
    """Return whether a success at ``at`` need not be saved now.

    ``saved`` is the success of this job that this process has saved last; None if it has saved none. One that is later
    than ``at`` is of a clock that was wrong.
    """
    return saved is not None and 0 <= at - saved < LONGEST_WAIT
