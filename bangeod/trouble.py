"""Saying a trouble that stays: once, again when it changes, and its end. Said at each run, it would hide what is new.

Policy without a clock: where the time matters, it is passed in.
"""

from collections.abc import Hashable
from typing import Final, Literal, NamedTuple

import structlog

from bangeod.clock import SECONDS_A_DAY

log = structlog.get_logger(__name__)

GROWN: Final = 2  # times as many are news at once


class LastTold(NamedTuple):
    """What was said last of a trouble."""

    what: Hashable  # what makes it this trouble and no other
    number: int  # of what it concerns
    at: float  # seconds that never step


def is_news(said: LastTold | None, what: Hashable, count: int, now: float) -> bool:
    """Say whether a trouble is to be said (again) at ``now``, in seconds that never step.

    Another trouble always is. That the same one concerns more or fewer rows is news once a day only: a web app that
    adds a bad row every minute changes the count at every run. But twice as many don't wait for that; a table that
    grows for ever then says so some twenty times on its way to a million.
    """
    if said is None or what != said.what or count >= GROWN * said.number:
        return True
    return count != said.number and now - said.at >= SECONDS_A_DAY


class Trouble:
    """One trouble and what was last said of it, for as long as its owner lives. One thread's.

    ``event`` names it in the log, at ``level``; ``end`` names its end, at level info, where that is said. What is no
    news is logged at level debug; without ``repeats`` not at all.
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
        """Say whether it was said, and its end was not."""
        return self._said is not None

    def tell(
        self, what: Hashable = None, *, event: str | None = None, count: int = 1, now: float = 0.0, **facts: object
    ) -> None:
        """Say that it is there; ``what`` tells it from another of its kind, ``facts`` may differ each time.

        One of a kind may have an ``event`` of its own. Of what can be counted there are ``count``, 1 or more, at
        ``now``, in seconds that never step.
        """
        if is_news(self._said, what, count, now):
            say = log.error if self._level == "error" else log.warning
            say(event or self._event, **facts)
            self._said = LastTold(what, count, now)
        elif self._repeats:
            log.debug(event or self._event, **facts)

    def is_over(self, **facts: object) -> None:
        """Say that it is no longer there, where it was said that it is."""
        if self._said is not None and self._end is not None:
            log.info(self._end, **facts)
        self._said = None

    def forget(self) -> None:
        """Let what comes be news again, and say nothing: it ended in a way that says so itself."""
        self._said = None
