"""What becomes of a row of geo_cache that both sides have. Policy: texts in, a decision out.

Between two runs the file may have changed, and so may the server, where the web app writes already. The later of two
places is taken, and the later of two times of last sight; a country is never taken away. Where nothing tells which
side is the later one, the server's stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from bangeod.store.migration.values import CopiedColumn

Told = Sequence[str | None]  # a row, each value as the text by which it is compared

COUNTRY: Final = "country_code"
RESOLVED: Final = "cached_at"
SEEN: Final = "last_seen"


class Standing(Enum):
    """How a row of the file stands to the server's."""

    ABSENT = "absent"  # there is none on the server
    SAME = "same"
    BEHIND = "behind"  # the server's lacks something that the file has
    AHEAD = "ahead"  # the server's is newer, or knows more
    DIFFERENT = "different"  # and nothing tells which of them is newer


class Decision(NamedTuple):
    """How a row stands, and which of its columns are to be taken over, by number."""

    standing: Standing
    taken: tuple[int, ...] = ()


@dataclass(frozen=True)
class Merge:
    """Decides about rows that have these columns, the key not among them."""

    columns: Sequence[CopiedColumn]

    def decide(self, ours: Told, theirs: Told) -> Decision:
        """Compare a row of the file with the server's."""
        if tuple(ours) == tuple(theirs):
            return Decision(Standing.SAME)
        seen = self._number(SEEN)
        is_seen, is_seen_later_there = self._compare(seen, ours, theirs) if seen is not None else (False, False)
        place, is_ahead = self._place(ours, theirs)
        taken = (*place, *((seen,) if is_seen and seen is not None else ()))
        taken = tuple(number for number in sorted(taken) if ours[number] != theirs[number])
        if taken:
            return Decision(Standing.BEHIND, taken)
        return Decision(Standing.AHEAD if is_ahead or is_seen_later_there else Standing.DIFFERENT)

    def _place(self, ours: Told, theirs: Told) -> tuple[Sequence[int], bool]:
        """Return the columns to take over, last sight aside, and whether the server's place is newer or knows more."""
        numbers = [number for number, column in enumerate(self.columns) if column.name != SEEN]
        country, resolved = self._number(COUNTRY), self._number(RESOLVED)
        our_country, their_country = (row[country] if country is not None else None for row in (ours, theirs))
        if our_country is None and their_country is not None:
            return (), True
        is_newer, is_newer_there = self._freshness(ours, theirs)
        if our_country is not None and their_country is None:
            return [number for number in numbers if ours[number] is not None and (is_newer or number != resolved)], True
        if is_newer and our_country != their_country:
            return numbers, False
        if is_newer:
            kept = any(ours[number] is None and theirs[number] is not None for number in numbers)
            return [number for number in numbers if ours[number] is not None], kept
        if is_newer_there:
            return (), True
        known_there = any(ours[number] is None and theirs[number] is not None for number in numbers)
        is_of_one_place = our_country == their_country
        filled = [number for number in numbers if is_of_one_place and theirs[number] is None]
        differs = any(
            None not in (ours[number], theirs[number]) and ours[number] != theirs[number] for number in numbers
        )
        return filled, known_there and not differs

    def _freshness(self, ours: Told, theirs: Told) -> tuple[bool, bool]:
        """Say whether the file's place is newer, and whether the server's is: by when it was resolved, then seen."""
        for name in (RESOLVED, SEEN):
            number = self._number(name)
            if number is None:
                continue
            compared = self._compare(number, ours, theirs)
            if any(compared):
                return compared
        return False, False

    def _compare(self, number: int, ours: Told, theirs: Told) -> tuple[bool, bool]:
        """Say which of two times is later: ours, or theirs. One that is there and can't be read is never replaced."""
        micros = self.columns[number].micros
        mine, other = micros(ours[number]), micros(theirs[number])
        if theirs[number] is None:
            return ours[number] is not None, False
        if other is None:
            return False, ours[number] != theirs[number]
        if mine is None:
            return False, True
        return mine > other, mine < other

    def _number(self, name: str) -> int | None:
        return next((number for number, column in enumerate(self.columns) if column.name == name), None)
