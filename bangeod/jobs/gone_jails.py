"""Whether bans of jails that are disabled still count: what several looks at fail2ban's bans say together.

When fail2ban starts, its jails are all disabled, and are enabled one by one; when it stops, they are disabled one by
one. Meanwhile what one look says may be wrong of a jail. So a ban is taken for one of a jail that is gone when two
looks, some time apart, say so and find the same jails enabled.
"""

from typing import Final

from bangeod.geo.banned import Reading

APART: Final = 2.0  # seconds between two looks; fail2ban adds its jails within a second, where it need not ask DNS


class GoneJails:
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

    def keep(self, key: str) -> bool:
        """Say whether a row of this key has to stay: it is banned, or that is in doubt."""
        if any(reading.banned.holds(key) for reading in self._readings):
            return True
        *earlier, last = self._readings
        if not self.settled:
            return any(reading.of_gone_jails.holds(key) for reading in self._readings)
        # What only the last look found has been seen once.
        return last.of_gone_jails.holds(key) and not (earlier and earlier[-1].of_gone_jails.holds(key))
