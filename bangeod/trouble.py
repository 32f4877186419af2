"""Logging of a trouble that lasts: once, again when it changes, and its end. Each time would hide what is new.

Policy without a clock: times are passed in.
"""

from collections.abc import Hashable
from typing import Final, Literal, NamedTuple

import structlog

from bangeod.clock import SECONDS_A_DAY

log = structlog.get_logger(__name__)

GROWN: Final = 2  # a count that has grown by this factor is news at once


class LastTold(NamedTuple):
    """What was last logged about a trouble."""

    what: Hashable  # identifies the trouble
    number: int  # how many rows, or other things, it concerns
    at: float  # seconds that never step


def is_news(said: LastTold | None, what: Hashable, count: int, now: float) -> bool:
    """Return whether a trouble is to be logged (again) at ``now``, in seconds that never step.

    Another trouble always is. When only the number of rows has changed, it is news once a day: a web app that adds a
    bad row every minute changes the count at every run. A count that has doubled does not wait for that; a table that
    grows without end is then logged some twenty times on its way to a million.
    """
    if said is None or what != said.what or count >= GROWN * said.number:
        return True
    return count != said.number and now - said.at >= SECONDS_A_DAY


class Trouble:
    """One trouble and what was last logged about it, for as long as its owner lives. Used by one thread.

    ``event`` is its name in the log, at ``level``; ``end`` is the name of its end, at level info, if that is to be
    logged. What is not news is logged at level debug if ``repeats`` is set, else not at all.
    """

    def __init__(
        self,
        event: str,
        end: str | None = None,
        *,
        level: Literal["warning", "error"] = "warning",
        repeats: bool = True,
    ) -> None:
        self._event = event
        self._end = end
        self._level = level
        self._repeats = repeats
        self._said: LastTold | None = None

    @property
    def is_said(self) -> bool:
        """Whether it was logged and its end was not."""
        return self._said is not None

    def tell(
        self, what: Hashable = None, *, event: str | None = None, count: int = 1, now: float = 0.0, **facts: object
    ) -> None:
        """Log it if it is news; ``what`` tells it from another of its kind, ``facts`` may differ each time.

        ``event`` replaces the trouble's own for this call. A trouble that can be counted passes ``count``, 1 or more,
        and ``now``, in seconds that never step.
        """
        if is_news(self._said, what, count, now):
            say = log.error if self._level == "error" else log.warning
            say(event or self._event, **facts)
            self._said = LastTold(what, count, now)
        elif self._repeats:
            log.debug(event or self._event, **facts)

    def is_over(self, **facts: object) -> None:
        """Log the end of the trouble, if it was logged."""
        if self._said is not None and self._end is not None:
            log.info(self._end, **facts)
        self._said = None

    def forget(self) -> None:
        """Make the next trouble news again without logging an end: the end has been logged in another way."""
        self._said = None
