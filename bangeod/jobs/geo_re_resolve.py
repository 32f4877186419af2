"""The job geo_re_resolve: tries addresses without a country again, and banned addresses that have no row yet."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Final

import structlog

from bangeod.cooperative import yielding
from bangeod.geo.cache.cache import LOCAL_BATCH, GeoCache
from bangeod.geo.cache.resolver import Found
from bangeod.jobs.ban_watch import BanWatch
from bangeod.jobs.job import Counts, Declaration, JobId, Result, Run
from bangeod.jobs.kept_rows import KeptRows
from bangeod.jobs.unresolved import Candidates, find_candidates
from bangeod.store.port import Store

log = structlog.get_logger(__name__)

DECLARATION: Final = Declaration(
    JobId.GEO_RE_RESOLVE,
    "tries addresses without a country again",
    make=lambda tools, _settings: GeoReResolve(tools.store, tools.cache, tools.bans, kept=tools.kept),
    counts=Counts(written=("resolved",), unreadable=("invalid",)),
    for_all=True,
    # This host's bans; what only the sources of this daemon know yet; and a quota that each may use.
    is_own=lambda tools: tools.bans.is_read or tools.cache.resolver.may_know_more,
    waits_without_record=True,  # best done after an interval, even if no earlier run is known
)

FOR_AN_ANSWER: Final = 2.0  # seconds that must be left of a run after it has waited for ip-api's quota


@dataclass
class Progress:
    """How far a run has come."""

    retried: int
    resolved: int
    left_for_ip_api: int = 0
    claimed: int = 0  # addresses that other hosts of the fleet ask about

    def figures(self) -> dict[str, int]:
        """Return what log and report have of it: of other hosts only where there is something."""
        figures = asdict(self)
        return figures if self.claimed else {name: value for name, value in figures.items() if name != "claimed"}

    def add(self, retried: int, resolved: int) -> None:
        self.retried += retried
        self.resolved += resolved


class GeoReResolve:
    """Resolves addresses without a country. ``sleep`` waits for ip-api's quota; it takes seconds."""

    id = DECLARATION.id

    def __init__(
        self,
        store: Store,
        cache: GeoCache,
        bans: BanWatch,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        kept: KeptRows | None = None,
    ) -> None:
        self._store = store
        self._cache = cache
        self._bans = bans
        self._sleep = sleep
        self._kept = kept or KeptRows()

    async def run(self, run: Run) -> Result:
        """Try every address that is due; results are committed batch by batch."""
        candidates = await find_candidates(self._store, self._bans, run)
        if run.dry:
            return await self._foretell(candidates)
        result = await self._carry_out(candidates, run)
        await self._count_bans(candidates, run)
        return result

    async def _count_bans(self, candidates: Candidates, run: Run) -> None:
        """Count bans in the time that is left; where there is none, the figures of an earlier run stay."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(run.time_left()):
                await self._bans.count(candidates.bans, self._cache)

    async def _carry_out(self, candidates: Candidates, run: Run) -> Result:
        kept, gone = "invalid_addresses_kept", "invalid_addresses_gone"
        self._kept.tell(kept, gone, run, candidates.invalid, example=candidates.example)
        async for rows in yielding(candidates.banned.items()):
            self._cache.take_rows(dict(rows))
        async for partly in yielding(candidates.partly):  # so that a value that a row has already is not written again
            self._cache.hold(partly)
        self._cache.clear_neg_cache()
        changes = self._cache.resolver.changes
        recalled, due = await self._sort_out(candidates)
        await self._take_in(candidates, recalled, due)
        if self._cache.dirty:  # writes that banned addresses were seen, and what memory knew
            await self._cache.flush_dirty(run.time_left)
        if not recalled and not due:
            self._cache.resolver.asked_locally(changes)
            reason = "none_due" if candidates.seen else "no_unresolved_ips"
            log.debug("geo_re_resolve_skip", reason=reason)
            return Result({"skipped": reason, "unresolved": len(candidates.seen), "invalid": candidates.invalid})
        log.info("geo_re_resolve_start", unresolved=len(candidates.seen))
        progress = Progress(len(recalled), len(recalled))
        finished = await self._resolve(candidates, list(due), run, progress)
        if finished:
            self._cache.resolver.asked_locally(changes)  # the next run asks a source that came meanwhile
        refused = self._refused(candidates)
        progress.resolved -= min(progress.resolved, refused.get("refused", 0))
        log.info("geo_re_resolve_complete", **progress.figures(), **refused)
        figures = {"unresolved": len(candidates.seen), **progress.figures(), **refused}
        figures["invalid"] = candidates.invalid
        return Result(figures, finished)

    def _refused(self, candidates: Candidates) -> dict[str, int]:
        """Return how many of the countries found the database refused; empty if none."""
        if not self._cache.refused:
            return {}
        waiting = [entry.ip for entry in self._cache.dirty_entries() if entry.geo.country_code is not None]
        refused = len(candidates.seen.keys() & waiting)
        return {"refused": refused} if refused else {}

    async def _sort_out(self, candidates: Candidates) -> tuple[dict[str, Found], dict[str, None]]:
        """Return the answers that memory has, and the addresses to ask sources about: all if a local source is new.

        Memory knows an address if another row has it, or if its entry is not written yet: no source need be asked.
        """
        resolver = self._cache.resolver
        recalled: dict[str, Found] = {}
        due: dict[str, None] = {}
        async for ips in yielding(await candidates.newest_first()):
            known = self._cache.recall(ips)
            recalled |= known
            unknown = [ip for ip in ips if ip not in known]
            due |= dict.fromkeys(unknown if resolver.changed_since_asked else resolver.due(unknown))
        return recalled, due

    async def _take_in(self, candidates: Candidates, recalled: Mapping[str, Found], due: Mapping[str, None]) -> None:
        """Queue what memory knows for writing, and new rows for banned addresses that are not due."""
        async for found in yielding(recalled.items()):
            self._cache.adopt(dict(found), candidates.seen)
        async for ips in yielding(candidates.rowless):
            rest = [ip for ip in ips if ip not in recalled and ip not in due]
            self._cache.add_rows(rest, rowless=candidates.rowless)

    async def _foretell(self, candidates: Candidates) -> Result:
        """Return what would be done, as far as that can be known without the network."""
        recalled, due = await self._sort_out(candidates)
        found = 0
        async for ips in yielding(due):
            found += len(_resolved(self._cache.naming.aside(partial(self._cache.resolver.ask_local, ips))))
        known = len(recalled)
        return Result(
            {
                "unresolved": len(candidates.seen),
                "would_retry": known + len(due),
                "would_resolve_locally": known + found,
                "invalid": candidates.invalid,
            }
        )

    async def _resolve(self, candidates: Candidates, due: Sequence[str], run: Run, progress: Progress) -> bool:
        """Ask the local sources, then the remote one at its pace; return whether there was time for all local ones.

        Addresses left for the remote source don't make the run unfinished: its quota does not allow more.
        """
        resolver = self._cache.resolver
        left: list[str] = []
        for start in range(0, len(due), LOCAL_BATCH):
            if run.time_left() <= 0:
                return False
            left += await self._locally(candidates, due[start : start + LOCAL_BATCH], run, progress)
        if resolver.remote is not None:
            due = [ip async for ips in yielding(left) for ip in resolver.due(ips)]
            await run.before_network()
            progress.left_for_ip_api = await self._remotely(candidates, due, run, progress)
        return True

    async def _locally(self, candidates: Candidates, batch: Sequence[str], run: Run, progress: Progress) -> list[str]:
        """Ask the local sources; return the addresses whose country they don't know."""
        resolver = self._cache.resolver
        found = _resolved(await self._cache.ask_local(batch, candidates.seen))
        missed = [ip for ip in batch if ip not in found]
        self._cache.add_rows(candidates.rowless.intersection(missed), rowless=candidates.rowless)
        progress.add(len(found), len(found))
        if resolver.remote is None:
            resolver.put_off(missed)
            progress.add(len(missed), 0)
        await self._cache.flush_dirty(run.time_left)
        return missed

    async def _remotely(self, candidates: Candidates, ips: Sequence[str], run: Run, progress: Progress) -> int:
        """Ask the remote source, waiting for its quota while there is time; return how many addresses are left.

        What another host of the fleet asks about is left to it: the next run finds what came of that.
        """
        resolver = self._cache.resolver
        while ips:
            wait = resolver.remote_wait()
            needed = wait + FOR_AN_ANSWER if wait else 0.0
            if needed >= run.time_left():
                break  # a request would cost quota, and its answer might come too late
            await self._sleep(wait)
            choice = await resolver.choose(ips)
            found = await self._ask_remote(choice.batch, candidates, run)
            if found is not None:
                ips = choice.rest
                progress.add(len(choice.batch), len(_resolved(found)))
                progress.claimed += len(choice.claimed)
                await self._cache.flush_dirty(run.time_left)
            elif resolver.remote_wait() <= 0:  # the source does not say when to try again
                break
        return len(ips)

    async def _ask_remote(self, batch: Sequence[str], candidates: Candidates, run: Run) -> dict[str, Found] | None:
        try:
            async with asyncio.timeout(run.time_left()):
                return await self._cache.ask_remote(batch, candidates.seen)
        except TimeoutError:  # the time of the run is over; that is no failure
            return None


def _resolved(found: Mapping[str, Found]) -> dict[str, Found]:
    return {ip: known for ip, known in found.items() if known.resolved}
