"""Whether bans of disabled jails still count, judged from several looks at fail2ban's bans.

When fail2ban starts, all its jails are disabled, and it enables them one by one; when it stops, it disables them one by
one. Meanwhile a single look may be wrong about a jail. So a jail counts as gone only when two looks, some time apart,
say so and find the same jails enabled.
"""

from collections.abc import Callable, Sequence
from typing import Final

from bangeod.banned import Banned, Reading

APART: Final = 2.0  # seconds between two looks; fail2ban adds its jails within a second, unless it has to ask DNS


class DisabledJails:
    """What complete readings say together; the constructor takes the first one. Times are monotonic."""

    def __init__(self, first: Reading, at: float) -> None:
        self._readings = [first]
        self._at = at

    @property
    def settled(self) -> bool:
        """Whether no further look is needed: no ban is in doubt, or the last two looks agree."""
        if len(self._readings) == 1:
            return not self._readings[0].of_gone_jails
        before, last = self._readings[-2:]
        return before.enabled == last.enabled

    def wait(self, now: float) -> float:
        """Return the seconds until a further look can say something new."""
        return max(0.0, self._at + APART - now)

    def take(self, reading: Reading, at: float) -> None:
        """Add a further look; one that comes too early is ignored."""
        if self.wait(at) <= 0:
            self._readings.append(reading)
            self._at = at

    def keeper(self) -> Callable[[str], bool]:
        """Return a function that says whether the row with a given key has to stay, by the readings so far.

        A row stays if its address is banned, or if that is in doubt.
        """
        sure = [reading.banned for reading in self._readings if reading.banned]
        *earlier, last = self._readings
        if not self.settled:
            return _any_of([*sure, *(reading.of_gone_jails for reading in self._readings if reading.of_gone_jails)])
        if not earlier or not last.of_gone_jails:
            return _any_of(sure)
        banned, new, old = _any_of(sure), last.of_gone_jails, earlier[-1].of_gone_jails
        # A ban that only the last look found in a gone jail has been seen there once: its row stays.
        return lambda key: banned(key) or (new.holds(key) and not old.holds(key))


def _any_of(parts: Sequence[Banned]) -> Callable[[str], bool]:
    """Return a function that says whether any part holds a key; joining large parts would take long."""
    if not parts:
        return lambda _key: False
    first, *others = parts
    if not others:
        return first.holds
    another = _any_of(others)
    return lambda key: first.holds(key) or another(key)
