"""A migration from beginning to end: look at both sides, copy, copy what has changed meanwhile, and verify.

Both tables are copied first, and then all of it is compared once more: so what one run leaves behind that others wrote
while it ran is little.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bangeod.store.migration import sessions_copy
from bangeod.store.migration.geo_copy import GeoCopy
from bangeod.store.migration.journal import Journal
from bangeod.store.migration.pages import Page, Pages
from bangeod.store.migration.report import Report, TableReport
from bangeod.store.migration.sessions_copy import SessionsCopy
from bangeod.store.migration.source import Source
from bangeod.store.migration.target import Server, TargetTable

if TYPE_CHECKING:
    from bangeod.clock import Clock

Copy = GeoCopy | SessionsCopy

COPYING: Final = "copying"
VERIFYING: Final = "verifying"


@dataclass
class Progress:
    """How far it has come: which step, on which table, and how many of its rows."""

    step: str = COPYING
    table: str = ""
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class Plan:
    """What is wanted. ``state``: the directory of the journal of sessions."""

    state: Path
    is_dry: bool = False


async def migrate(
    source: Source, server: Server, plan: Plan, clock: "Clock", told: Callable[[Progress], None]
) -> Report:
    """Copy both tables; ``told`` is called for each page. Raises StoreError, PathError, BangeodError."""
    began = clock.monotonic()
    report = Report(str(source.path), server.conninfo.shown, plan.is_dry)
    found = await source.open()
    await server.check()
    targets = {name: await server.table(name, table.columns) for name, table in found.items()}
    for name, target in targets.items():
        report.tables.append(TableReport(name, notes=list(target.notes)))
    identity = await server.session.identity()
    table_id = f"{identity.system} {identity.database} {targets['sessions'].table.oid}"
    opened = Journal.seen if plan.is_dry else Journal.open
    with closing(opened(plan.state, table_id)) as journal:
        if not plan.is_dry:
            await sessions_copy.settle(server, journal)
        geo, sessions = report.tables
        work: list[tuple[Pages, TableReport, Copy]] = [
            (
                Pages(source, found["geo_cache"], targets["geo_cache"]),
                geo,
                GeoCopy(targets["geo_cache"], geo, is_dry=plan.is_dry),
            ),
            (
                Pages(source, found["sessions"], targets["sessions"]),
                sessions,
                SessionsCopy(targets["sessions"], journal, sessions, now=clock.now(), is_dry=plan.is_dry),
            ),
        ]
        await _copy(work, targets["sessions"], told, is_dry=plan.is_dry)
        if not plan.is_dry:
            await source.make_sure()
            await _verify(work, targets, told)
            await source.make_sure()
            report.verified = all(table.is_whole for table in report.tables)
    report.seconds = clock.monotonic() - began
    return report


async def _copy(
    work: list[tuple[Pages, TableReport, Copy]],
    sessions: TargetTable,
    told: Callable[[Progress], None],
    *,
    is_dry: bool,
) -> None:
    pages, report, _ = work[-1]
    if not is_dry:  # before the web app makes sessions there, so that it gives none of these numbers away
        report.notes += await sessions.numbered_on(await pages.highest())
    for pages, report, copy in work:
        async with aclosing(_counted(pages, Progress(COPYING, report.table), told)) as counted:
            async for page in counted:
                await copy.copy(page)


async def _verify(
    work: list[tuple[Pages, TableReport, Copy]],
    targets: "dict[str, TargetTable]",
    told: Callable[[Progress], None],
) -> None:
    for pages, report, copy in work:
        report.begin_verification()
        async with aclosing(_counted(pages, Progress(VERIFYING, report.table), told)) as counted:
            async for page in counted:
                await copy.verify(pages, page)
        copy.finish()
        report.rows_on_server = await targets[report.table].count()
    pages, report, _ = work[-1]
    notes = await targets["sessions"].numbered_on(await pages.highest())  # of sessions that came meanwhile
    report.notes += [note for note in notes if note not in report.notes]


async def _counted(pages: Pages, progress: Progress, told: Callable[[Progress], None]) -> AsyncGenerator[Page, None]:
    """Yield all pages, and tell after each what has been done with it."""
    progress.total = await pages.count()
    told(progress)
    async with aclosing(pages.all()) as every:
        async for page in every:
            yield page
            progress.done += len(page.part.rows)
            told(progress)
