"""What came of a migration: counts, checksums, and what could not be copied, for a person and for programs."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

EXAMPLES: Final = 5  # for each reason
REASONS: Final = 20  # that are told apart: the server's words may have a value in them
LONGEST_EXAMPLE: Final = 80  # characters
OTHERS: Final = "for other reasons"

_SIZE: Final = 16  # bytes of a checksum


@dataclass
class Passed:
    """Rows that were not copied, by why, with some examples."""

    rows: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, example: str) -> None:
        if reason not in self.rows and len(self.rows) >= REASONS:
            reason = OTHERS
        self.rows[reason] += 1
        named = self.examples.setdefault(reason, [])
        if example and len(named) < EXAMPLES:
            named.append(example[:LONGEST_EXAMPLE])

    def take(self, other: "Passed") -> None:
        """Count what another one has, too."""
        for reason, rows in other.rows.items():
            for example in other.examples[reason]:
                self.add(reason, example)
            self.rows[reason if reason in self.rows else OTHERS] += rows - len(other.examples[reason])

    @property
    def total(self) -> int:
        return sum(self.rows.values())


class Checksum:
    """A checksum over rows in any order: the sum of what each of them gives, so that two sides need no common order."""

    def __init__(self) -> None:
        self._sum = 0

    def add(self, key: Sequence[str], told: Sequence[str | None]) -> None:
        """Take in a row, as the texts by which it is compared."""
        parts = [*key, *("" if text is None else f"={text}" for text in told)]
        raw = "\0".join(parts).encode(errors="surrogatepass")
        self._sum += int.from_bytes(hashlib.blake2b(raw, digest_size=_SIZE).digest(), "big")

    @property
    def text(self) -> str:
        return f"{self._sum % 2 ** (8 * _SIZE):0{2 * _SIZE}x}"


@dataclass
class TableReport:
    """What came of one table. ``unfit`` the server can't hold; ``refused`` it did not take, and may if it is mended."""

    table: str
    rows: int = 0  # in the file, as they were read last
    copied: int = 0
    changed: int = 0  # on the server, since the file has something newer
    same: int = 0  # before this run
    ahead: int = 0  # newer on the server, or not to be changed there
    expired: int = 0  # sessions, which need not come
    ended: int = 0  # sessions that were copied once, and are no longer on the server
    cut: int = 0  # rows with a name that is cut
    meanwhile: int = 0  # rows that changed while the copy ran, and were taken up when it was verified
    missing: int = 0
    differing: Passed = field(default_factory=Passed)
    unfit: Passed = field(default_factory=Passed)
    refused: Passed = field(default_factory=Passed)
    notes: list[str] = field(default_factory=list)
    compared: int = 0  # rows that are the same on both sides, in the end
    rows_on_server: int | None = None  # all of them; None where nothing was verified
    checksum: str = ""  # of the rows compared, and those that differ or are missing: as the file has them
    checksum_on_server: str = ""  # as the server has them

    def begin_verification(self) -> None:
        """Forget what is counted anew when the rows are compared at the end."""
        self.rows = self.ahead = self.expired = self.ended = 0
        self.differing, self.unfit, self.refused = Passed(), Passed(), Passed()

    @property
    def is_whole(self) -> bool:
        """Say whether all that the server can hold is there."""
        return not (self.missing or self.differing.total or self.refused.total or self.is_other)

    @property
    def is_other(self) -> bool:
        return self.checksum != self.checksum_on_server


@dataclass
class Report:
    """What came of it all."""

    file: str
    server: str
    dry_run: bool
    tables: list[TableReport] = field(default_factory=list)
    verified: bool = False  # everything that the server can hold is there
    seconds: float = 0.0
