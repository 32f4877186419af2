"""Whether bans of jails that are disabled still count: what several looks at fail2ban's bans say together.

When fail2ban starts, its jails are all disabled, and are enabled one by one; when it stops, they are disabled one by
one. Meanwhile what one look says may be wrong of a jail. So a ban is taken for one of a jail that is gone when two
looks, some time apart, say so and find the same jails enabled.
"""

from collections.abc import Callable, Sequence
from typing import Final

from bangeod.banned import Banned, Reading

APART: Final = 2.0  # seconds between two looks; fail2ban adds its jails within a second, where it need not ask DNS


class DisabledJails:
    """What complete readings say together; the first one is there from the start. Times are monotonic."""

    def __init__(self, first: Reading, at: float) -> None:
        self._readings = [first]
        self._at = at

    @property
    def settled(self) -> bool:
        """Say whether no further look is needed: nothing is in doubt, or two looks agree."""
        if len(self._readings) == 1:
            return not self._readings[0].of_gone_jails
        before, last = self._readings[-2:]
        return before.enabled == last.enabled

    def wait(self, now: float) -> float:
        """Return the seconds until a further look says something new."""
        return max(0.0, self._at + APART - now)

    def take(self, reading: Reading, at: float) -> None:
        """Take a further look into account; one that comes too early says nothing new."""
        if self.wait(at) <= 0:
            self._readings.append(reading)
            self._at = at

    def keeper(self) -> Callable[[str], bool]:
        """Return what says of a row's key, by the readings so far, whether the row has to stay.

        It does where it is banned, or where that is in doubt.
        """
        sure = [reading.banned for reading in self._readings if reading.banned]
        *earlier, last = self._readings
        if not self.settled:
            return _any_of([*sure, *(reading.of_gone_jails for reading in self._readings if reading.of_gone_jails)])
        if not earlier or not last.of_gone_jails:
            return _any_of(sure)
        banned, new, old = _any_of(sure), last.of_gone_jails, earlier[-1].of_gone_jails
        # What only the last look found has been seen once.
        return lambda key: banned(key) or (new.holds(key) and not old.holds(key))


def _any_of(parts: Sequence[Banned]) -> Callable[[str], bool]:
    """Return what says whether one of them holds a key; to unite them would take long where they are large."""
    if not parts:
        return lambda _key: False
    first, *others = parts
    if not others:
        return first.holds
    another = _any_of(others)
    return lambda key: first.holds(key) or another(key)
