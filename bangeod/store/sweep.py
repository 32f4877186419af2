"""A deletion of rows past their time, as every adapter does it: which rows go, in which order, and which are left.

The adapter reads the pages (DuePage) and deletes (Remover); nothing here knows a database.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from bangeod.store.port import Census, Deleted, Refusal
from bangeod.store.row_cap import Overflow

if TYPE_CHECKING:
    from bangeod.clock import Clock

RETRY_SECONDS: Final = 5.0  # of each run for rows held back in an earlier one; the rest of them stay untried
MOST_HELD_BACK: Final = 250_000  # keys; some 25 MB


class Due(NamedTuple):
    """A row that may go."""

    key: object
    label: str
    micros: int
    version: object  # by which the adapter sees that it is still the same: its time as it is stored, say


class DuePage(NamedTuple):
    """The rows of a page that may go, and how many have an unreadable time."""

    due: list[Due]
    unreadable: int
    example: str | None


class Aged(NamedTuple):
    """A row, whether it may go or not. A time that can't be read is None."""

    key: object
    label: str
    micros: int | None


class HeldBack:
    """Keys of rows that were held back, those tried longest ago first. Belongs to one event loop."""

    def __init__(self) -> None:
        self._turns: dict[object, int] = {}
        self._turn = 0
        self.example: Refusal | None = None

    def __contains__(self, key: object) -> bool:
        return key in self._turns

    def __len__(self) -> int:
        return len(self._turns)

    def add(self, key: object, refusal: Refusal) -> None:
        """Remember that a row was tried and stays. Above the limit, those tried longest ago are forgotten."""
        self._turns.pop(key, None)
        if len(self._turns) >= MOST_HELD_BACK:
            del self._turns[next(iter(self._turns))]
        self._turn += 1
        self._turns[key], self.example = self._turn, refusal

    def discard(self, key: object) -> None:
        self._turns.pop(key, None)

    def turn(self, key: object) -> int:
        """Return a sort key by which rows tried longest ago come first."""
        return self._turns.get(key, 0)


class Remover(Protocol):
    """Deletes rows of one table."""

    @property
    def held_back(self) -> HeldBack:
        """Return the rows that were held back in an earlier run, or are in this one."""

    @property
    def size(self) -> int:
        """Return how many rows to delete next."""

    async def delete(self, chunk: Sequence[Due]) -> tuple[Deleted, int]:
        """Commit one slice from the start of ``chunk``; return what was deleted, and how many rows are done with."""

    def leave(self, rows: Sequence[Due]) -> Deleted:
        """Count rows that were held back in an earlier run and are not tried in this one."""


async def sweep(
    found_pages: AsyncGenerator[DuePage, None], remover: Remover, *, goes: Callable[[Due], bool], clock: "Clock"
) -> AsyncGenerator[Deleted, None]:
    """Delete the rows for which ``goes`` is true.

    Rows held back in an earlier run come last, and for no longer than RETRY_SECONDS.
    """
    waiting: list[Due] = []
    again: list[Due] = []
    async with aclosing(found_pages):
        async for found in found_pages:
            for due in filter(goes, found.due):
                (again if due.key in remover.held_back else waiting).append(due)
            if found.unreadable:
                yield Deleted((), found.unreadable, found.example)
            while len(waiting) >= remover.size:
                yield await _next(remover, waiting)
    while waiting:
        yield await _next(remover, waiting)
    again.sort(key=lambda due: remover.held_back.turn(due.key))
    until = clock.monotonic() + RETRY_SECONDS
    while again and clock.monotonic() < until:
        yield await _next(remover, again)
    if again:
        yield remover.leave(again)


async def _next(remover: Remover, waiting: list[Due]) -> Deleted:
    """Delete one slice of the waiting rows."""
    deleted, settled = await remover.delete(waiting[: remover.size])
    del waiting[:settled]
    return deleted


async def census(found_pages: AsyncGenerator[DuePage, None], *, goes: Callable[[Due], bool]) -> Census:
    """Count what a sweep would delete."""
    matching = unreadable = 0
    example = None
    async with aclosing(found_pages):
        async for found in found_pages:
            matching += sum(map(goes, found.due))
            unreadable += found.unreadable
            example = example or found.example
    return Census(matching, unreadable, example)


async def overflow(
    read_pages: AsyncGenerator[Sequence[Aged], None],
    max_rows: int,
    before: int,
    *,
    keep: Callable[[str], bool],
    stays: Collection[object] | None = None,
) -> tuple[Overflow, int]:
    """Choose which rows go above ``max_rows``.

    Stale rows (earlier than ``before``) do not count, as they go anyway. With ``stays``, they have already been deleted
    where possible: stale rows still there, and the rows with the keys in ``stays``, count but are not chosen.

    Returns the choice and the time, in microseconds, at or after which no row goes.
    """
    choice = Overflow()
    async with aclosing(read_pages):
        async for page in read_pages:
            for key, label, micros in page:
                kept = keep(label)
                is_stale = micros is not None and micros < before and not kept
                if stays is not None and (is_stale or key in stays):
                    choice.add(None, kept=kept)
                elif not is_stale:
                    choice.add(micros, kept=kept)
    return choice, choice.decide(max_rows)


def is_above(due: Due, *, choice: Overflow, limit: int, keep: Callable[[str], bool], stays: Collection[object]) -> bool:
    """Say whether a row was chosen to go above the cap. Stale rows have already been tried."""
    kept = keep(due.label)
    return (kept or due.micros >= limit) and due.key not in stays and choice.takes(due.micros, kept=kept)


def always(_row: object) -> bool:
    return True
