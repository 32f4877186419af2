"""Copying geo_cache: a page of its rows is compared with the server's, and what the server lacks is written there."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from bangeod.errors import StoreLockedError, StoreRefusedError
from bangeod.store.migration.merging import Decision, Merge, Standing
from bangeod.store.migration.pages import Page, Pages
from bangeod.store.migration.report import Checksum, TableReport
from bangeod.store.migration.target import FittedRow, Found, TargetTable
from bangeod.store.postgres import faults

TRIES: Final = 4  # with what is locked passed over, but the last one
SPARED: Final = "a trigger or a policy of the database's takes no such row, without an error"
CHANGED_AT_ONCE: Final = 200  # rows that are locked at a time

NOT_NEWER: Final = "and neither side is newer"

_SETTLED: Final = (Standing.SAME, Standing.AHEAD)
_TO_WRITE: Final = (Standing.ABSENT, Standing.BEHIND)


class Compared(NamedTuple):
    """A row of the file beside the server's."""

    found: Found
    decision: Decision


@dataclass
class Outcome:
    """How rows stood before anything was written, and which ones the server refuses, with its reason; by ``id``."""

    standings: dict[int, Standing] = field(default_factory=dict)
    refused: dict[int, tuple[FittedRow, str]] = field(default_factory=dict)

    def refuse(self, row: FittedRow, reason: str) -> None:
        self.refused[id(row)] = row, reason

    def found(self, compared: Compared) -> None:
        """Note how a row stands; one that was not there, and came meanwhile, was brought by this run or another."""
        row, standing = compared.found.row, compared.decision.standing
        if compared.found.refused is not None:
            self.refuse(row, compared.found.refused)
        elif self.standings.get(id(row)) is None or standing is not Standing.SAME:
            self.standings[id(row)] = standing

    def counted(self) -> Counter[Standing]:
        return Counter(standing for row, standing in self.standings.items() if row not in self.refused)


class GeoCopy:
    """Copies rows, and verifies them. ``report`` is filled in; with ``is_dry`` nothing is written."""

    def __init__(self, target: TargetTable, report: TableReport, *, is_dry: bool) -> None:
        self._target = target
        self._report = report
        self._is_dry = is_dry
        key = target.identity[0]
        self._numbers = [number for number in range(len(target.columns)) if number != key]
        self._merge = Merge([target.columns[number] for number in self._numbers])
        self._ours, self._theirs = Checksum(), Checksum()

    async def copy(self, page: Page) -> None:
        """Bring a page to the server; each row counts once, as what it was found to be."""
        report = self._report
        report.rows += len(page.part.rows)
        outcome = await self._bring(page.rows)
        counted = outcome.counted()
        report.copied += counted[Standing.ABSENT]
        report.changed += counted[Standing.BEHIND]
        report.same += counted[Standing.SAME]
        report.ahead += counted[Standing.AHEAD]
        report.cut += sum(row.is_cut for row in page.rows)
        report.unfit.take(page.unfit)
        for row, reason in outcome.refused.values():
            report.refused.add(reason, row.label)
        for row in page.rows:
            if outcome.standings.get(id(row)) is Standing.DIFFERENT:
                report.differing.add(NOT_NEWER, row.label)

    async def verify(self, pages: Pages, page: Page) -> None:
        """Compare a page once more. What has changed since is brought as well, and then has to be the same."""
        report = self._report
        report.rows += len(page.part.rows)
        report.unfit.take(page.unfit)
        compared = await self._compare(page.rows)
        left = {self._target.key(each.found.row) for each in compared if not _is_settled(each)}
        for each in compared:
            if _is_settled(each):
                self._count(each)
        if not left:
            return
        again = [row for row in (await pages.again(page)).rows if self._target.key(row) in left]
        outcome = await self._bring(again)
        for each in await self._compare(again):
            row = each.found.row
            reason = outcome.refused[id(row)][1] if id(row) in outcome.refused else each.found.refused
            if reason is not None:
                report.refused.add(reason, row.label)
                continue
            report.meanwhile += _is_settled(each)
            self._count(each)

    def finish(self) -> None:
        """Put the checksums into the report."""
        self._report.checksum, self._report.checksum_on_server = self._ours.text, self._theirs.text

    def _count(self, compared: Compared) -> None:
        """Take a row into the checksums, as each side has it; one that is newer on the server is counted alone."""
        row, standing = compared.found.row, compared.decision.standing
        key = self._target.key(row)
        if standing is Standing.AHEAD:
            self._report.ahead += 1
            return
        self._ours.add(key, self._of(row.told))
        if compared.found.held is not None:
            self._theirs.add(key, self._of(compared.found.held.told))
        if standing is Standing.SAME:
            self._report.compared += 1
        elif standing is Standing.ABSENT:
            self._report.missing += 1
        else:
            self._report.differing.add(NOT_NEWER, row.label)

    def _of(self, told: Sequence[str | None]) -> tuple[str | None, ...]:
        return tuple([told[number] for number in self._numbers])

    async def _compare(self, rows: Sequence[FittedRow]) -> list[Compared]:
        compared = []
        for found in await self._target.find(rows):
            if found.held is None:
                decision = Decision(Standing.ABSENT)
            else:
                decision = self._merge.decide(self._of(found.row.told), self._of(found.held.told))
            compared.append(Compared(found, decision))
        return compared

    async def _bring(self, rows: Sequence[FittedRow]) -> Outcome:
        """Write what the server lacks. Raises StoreLockedError where a row stays locked by others."""
        outcome = Outcome()
        left = rows
        for attempt in range(TRIES):
            compared = await self._compare(left)
            for each in compared:
                outcome.found(each)
            if self._is_dry:
                return outcome
            wanted = [each for each in compared if each.found.refused is None and each.decision.standing in _TO_WRITE]
            missed = await self._write(wanted, outcome, wait=attempt == TRIES - 1)
            left = [row for row in missed if id(row) not in outcome.refused]
            if not left:
                return outcome
        for row in left:
            outcome.refuse(row, SPARED)
        return outcome

    async def _write(self, wanted: Sequence[Compared], outcome: Outcome, *, wait: bool) -> list[FittedRow]:
        """Return the rows that may not have been written."""
        missed = await self._insert([each.found for each in wanted if each.found.held is None], outcome)
        by_columns: defaultdict[tuple[int, ...], list[Found]] = defaultdict(list)
        for each in wanted:
            if each.found.held is not None:
                by_columns[tuple(self._numbers[number] for number in each.decision.taken)].append(each.found)
        for taken, found in by_columns.items():
            for start in range(0, len(found), CHANGED_AT_ONCE):
                missed += await self._update(taken, found[start : start + CHANGED_AT_ONCE], outcome, wait=wait)
        return missed

    async def _insert(self, found: Sequence[Found], outcome: Outcome) -> list[FittedRow]:
        rows = [each.row for each in found]
        if not rows:
            return []
        try:
            return [] if await self._target.insert(rows) == len(rows) else rows
        except StoreRefusedError as error:
            halves = _halves(found, error, outcome)
        return [row for half in halves for row in await self._insert(half, outcome)]

    async def _update(
        self, taken: Sequence[int], found: Sequence[Found], outcome: Outcome, *, wait: bool
    ) -> list[FittedRow]:
        try:
            locked, changed = await self._target.update(taken, found, wait=wait)
        except StoreRefusedError as error:
            halves = _halves(found, error, outcome)
            return [row for half in halves for row in await self._update(taken, half, outcome, wait=wait)]
        for place in locked - changed:
            outcome.refuse(found[place].row, SPARED)
        if wait and len(locked) < len(found):
            problem = "rows of geo_cache are changed by others again and again"
            raise StoreLockedError(
                self._target.server.conninfo.shown, problem, "run the same command again: it goes on"
            )
        return [each.row for place, each in enumerate(found) if place not in locked]


def _halves(found: Sequence[Found], error: StoreRefusedError, outcome: Outcome) -> Sequence[Sequence[Found]]:
    """Return the halves of what was refused as a whole; of a single row note why."""
    if len(found) == 1:
        outcome.refuse(found[0].row, faults.reason(error.__cause__))
        return ()
    middle = len(found) // 2
    return found[:middle], found[middle:]


def _is_settled(compared: Compared) -> bool:
    return compared.found.refused is None and compared.decision.standing in _SETTLED
