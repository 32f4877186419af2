"""Copying sessions: those that are not there yet, have not expired, and were never copied before.

One that exists on the server stays as it is there. One that was copied and is gone has ended: it must not come back,
so a journal remembers which ones were copied, and a transaction's own number says whether it committed.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from bangeod.errors import StoreLockedError, StoreRefusedError
from bangeod.store import times
from bangeod.store.migration.journal import Journal, digest
from bangeod.store.migration.matching import EXPIRY
from bangeod.store.migration.pages import Page, Pages
from bangeod.store.migration.report import Checksum, TableReport
from bangeod.store.migration.target import FittedRow, Found, Server, TargetTable
from bangeod.store.postgres import faults, inspection, queries

TAKEN: Final = "its number, or another unique value, is another session's on the server; or a trigger spares it"
LOOKS: Final = 50  # for the end of a transaction of a run that was killed
BETWEEN_LOOKS: Final = 0.2  # seconds


async def settle(server: Server, journal: Journal) -> None:
    """Find out what became of the transactions that an earlier run did not see end. Raises StoreError."""
    for transaction in journal.unsettled:
        journal.settle(transaction, committed=await _has_committed(server, transaction))


async def _has_committed(server: Server, transaction: str) -> bool:
    for _ in range(LOOKS):
        try:
            ((status,),) = await server.session.run(
                queries.END_OF_TRANSACTION, {"transaction": transaction}, again=True
            )
        except StoreRefusedError:  # the server has not come to this one: it was set back, by a backup, say
            return False
        if status != "in progress":
            # Of one that is long past the server knows nothing: then better a session too few than one that has ended.
            return bool(status != "aborted")
        await asyncio.sleep(BETWEEN_LOOKS)
    problem = "a transaction of an earlier run is still in progress on the server"
    raise StoreLockedError(server.conninfo.shown, problem, "let the other `bangeod migrate` end, then run it again")


class SessionsCopy:
    """Copies sessions, and verifies them. ``now`` is in epoch seconds; with ``is_dry`` nothing is written."""

    def __init__(self, target: TargetTable, journal: Journal, report: TableReport, *, now: float, is_dry: bool) -> None:
        self._target = target
        self._journal = journal
        self._report = report
        self._now = int(now * times.MICROSECONDS)
        self._is_dry = is_dry
        self._expiry = next((number for number, column in enumerate(target.columns) if column.name == EXPIRY), None)
        self._ours, self._theirs = Checksum(), Checksum()

    async def copy(self, page: Page) -> None:
        """Bring a page to the server."""
        report = self._report
        report.rows += len(page.part.rows)
        report.unfit.take(page.unfit)
        report.expired += sum(map(self._has_expired, page.rows))
        for found in await self._alive(page):
            if found.refused is not None:
                report.refused.add(found.refused, "")
            elif found.held is not None:
                report.same += self._is_same(found)
                report.ahead += not self._is_same(found)
        await self._bring(page)

    async def verify(self, pages: Pages, page: Page) -> None:
        """Compare a page once more; sessions that have begun since are brought as well."""
        report = self._report
        before = report.copied
        found = await self._alive(page)
        if any(self._is_to_come(each) for each in found):
            page = await pages.again(page)
            await self._bring(page)
            found = await self._alive(page)
        report.rows += len(page.part.rows)
        report.unfit.take(page.unfit)
        report.expired += sum(map(self._has_expired, page.rows))
        report.meanwhile += report.copied - before
        report.copied = before
        for each in found:
            self._count(each)

    def finish(self) -> None:
        """Put the checksums into the report."""
        self._report.checksum, self._report.checksum_on_server = self._ours.text, self._theirs.text

    def _count(self, found: Found) -> None:
        key, report = self._target.key(found.row), self._report
        if found.held is not None and self._is_same(found):
            self._ours.add(key, found.row.told)
            self._theirs.add(key, found.held.told)
            report.compared += 1
        elif found.held is not None:
            report.ahead += 1
        elif found.refused is not None:
            report.refused.add(found.refused, "")
        elif digest("\0".join(key)) in self._journal.copied:
            report.ended += 1

    def _is_same(self, found: Found) -> bool:
        return found.held is not None and tuple(found.row.told) == tuple(found.held.told)

    def _is_to_come(self, found: Found) -> bool:
        if found.held is not None or found.refused is not None:
            return False
        return digest("\0".join(self._target.key(found.row))) not in self._journal.copied

    async def _alive(self, page: Page) -> list[Found]:
        """Look up those that have not expired."""
        return await self._target.find([row for row in page.rows if not self._has_expired(row)])

    def _has_expired(self, row: FittedRow) -> bool:
        if self._expiry is None:
            return False
        value = row.values[self._expiry].sent
        micros = times.read(value)
        return micros is not None and micros <= self._now

    async def _bring(self, page: Page) -> None:
        found = await self._alive(page)
        rows = [each.row for each in found if self._is_to_come(each)]
        if self._is_dry:
            self._report.copied += len(rows)
        else:
            await self._insert(rows)

    async def _insert(self, rows: Sequence[FittedRow]) -> None:
        """Insert sessions in one transaction, about which the journal knows before it commits."""
        if not rows:
            return
        server, target = self._target.server, self._target
        digests = {target.key(row): digest("\0".join(target.key(row))) for row in rows}
        transaction: str | None = None
        try:
            async with inspection.connected(server.conninfo, server.schema) as connection:
                ((transaction,),) = await (await connection.execute(queries.TRANSACTION.encode())).fetchall()
                self._journal.announce(transaction, digests.values())
                done = await connection.execute(target.insertion.encode(), target.insertion_values(rows))
                brought = {tuple(recognised) for recognised in await done.fetchall()}
        except StoreRefusedError as error:
            if transaction is not None:
                self._journal.settle(transaction, committed=False)
            if len(rows) == 1:
                self._report.refused.add(faults.reason(error.__cause__), "")
                return
            middle = len(rows) // 2
            await self._insert(rows[:middle])
            await self._insert(rows[middle:])
            return
        not_brought = [row for row in rows if self._recognised(row) not in brought]
        self._journal.settle(transaction, committed=True, without=[digests[target.key(row)] for row in not_brought])
        self._report.copied += len(rows) - len(not_brought)
        for _ in not_brought:
            self._report.refused.add(TAKEN, "")

    def _recognised(self, row: FittedRow) -> tuple[str | None, ...]:
        """Return what the server says a row is recognised by."""
        return tuple(row.told[number] for number in self._target.identity)
