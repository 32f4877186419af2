"""Which rows of a table the database did not let go, so that the next run takes them last, and not for long.

Else those would use up a run's time again and again, and the rows behind them would never have their turn.
"""

from typing import Final

from bangeod.store.port import Refusal

RETRY_SECONDS: Final = 5.0  # of a run for rows that were held back in an earlier one; the other ones stay untried
MOST: Final = 250_000  # keys; some 25 MB


class HeldBack:
    """Keys of rows, those that were tried longest ago first. One event loop's."""

    def __init__(self) -> None:
        self._turns: dict[object, int] = {}
        self._turn = 0
        self.example: Refusal | None = None

    def __contains__(self, key: object) -> bool:
        return key in self._turns

    def add(self, key: object, refusal: Refusal) -> None:
        """Remember that a row was tried and stays. Of too many those tried longest ago are forgotten."""
        self._turns.pop(key, None)
        if len(self._turns) >= MOST:
            del self._turns[next(iter(self._turns))]
        self._turn += 1
        self._turns[key], self.example = self._turn, refusal

    def discard(self, key: object) -> None:
        """Forget a row that is gone."""
        self._turns.pop(key, None)

    def turn(self, key: object) -> int:
        """Return a number by which what was tried longest ago comes first."""
        return self._turns.get(key, 0)
