"""The resolver: asks the local sources in order, the fleet, then the remote one, as rarely as the backoff demands.

Answers are merged field by field: one source may know the AS of an address, and another its country.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import structlog

from bangeod.clock import Clock
from bangeod.errors import SourceError, SourcePausedError
from bangeod.geo.cache.backoff import Backoff
from bangeod.geo.sources import FleetSource, RemoteSource, SourcesInUse
from bangeod.model import UNKNOWN, Geo, Origin, merge
from bangeod.trouble import Trouble

log = structlog.get_logger(__name__)

CHOSEN_FROM: Final = 1_000  # addresses that are asked for claims at a time, where the first two batches were not enough
_NOTHING: "Final[Mapping[str, Found]]" = {}


class Choice(NamedTuple):
    """What to ask the remote source about next: the first addresses that nobody else asks about."""

    batch: Sequence[str]
    claimed: Sequence[str]  # those before the batch's last one that others ask about
    rest: Sequence[str]  # those that come after


class Found(msgspec.Struct, frozen=True, gc=False):
    """What sources said of an address: its country, or at least its AS number or organisation."""

    geo: Geo
    origin: Origin  # of the country, where there is one

    @property
    def resolved(self) -> bool:
        return self.geo.country_code is not None


def without_country(ips: Iterable[str], found: Mapping[str, Found]) -> list[str]:
    return [ip for ip in ips if ip not in found or not found[ip].resolved]


def is_surer(known: Found | None) -> bool:
    """Say whether what the local sources said counts before what other hosts found: the embedded country does not."""
    return known is not None and known.resolved and known.origin is not Origin.EMBEDDED


def with_fleet(local: Mapping[str, Found], theirs: Mapping[str, Found]) -> dict[str, Found]:
    """Return what the local sources said, and where they know no country of their own, what other hosts found."""
    found = dict(local)
    for ip, known in theirs.items():
        said = local.get(ip)
        if is_surer(said):
            continue
        own = UNKNOWN if said is None else said.geo._replace(country_code=None, country_name=None)
        found[ip] = Found(merge(own, known.geo), known.origin)
    return found


class Resolver:
    """Asks the sources in use; keeps the backoff of addresses that none of them knows."""

    def __init__(
        self,
        clock: Clock,
        sources: SourcesInUse,
        *,
        fleet: FleetSource | None = None,
        may_ask_remote: Callable[[], bool] = lambda: True,
        named: Callable[[Geo], Geo] = lambda geo: geo,
    ) -> None:
        self._clock = clock
        self._sources = sources
        self.fleet = fleet
        self._may_ask_remote = may_ask_remote
        self._named = named  # countries have one name, whichever source answers
        self.backoff = Backoff()
        self._failing = Trouble("source_failed", "source_recovered")
        self.changes = 0  # how often the sources have changed
        self._asked_after = 0  # value of ``changes`` when all that is unresolved was last looked up locally

    @property
    def remote(self) -> RemoteSource | None:
        return self._sources.remote

    def due(self, ips: Iterable[str]) -> list[str]:
        """Return those that may be asked about now."""
        return self.backoff.due(ips, self._clock.monotonic())

    def ask_local(self, ips: Iterable[str]) -> dict[str, Found]:
        """Ask the sources on this machine about each address, whatever its backoff: that costs no quota.

        Goes on to the next source while an address has no country. Answers without a country are returned too.
        """
        found: dict[str, Found] = {}
        partly: dict[str, Found] = {}
        named = self._named
        for source in self._sources.local:
            find, origin = source.find, source.origin
            unknown = []
            for ip in ips:
                geo = find(ip)
                if geo is None:
                    unknown.append(ip)
                elif geo.country_code is None:
                    unknown.append(ip)
                    first = partly.get(ip)
                    partly[ip] = Found(geo, origin) if first is None else Found(merge(first.geo, geo), first.origin)
                else:
                    found[ip] = Found(named(geo), origin)
            if not unknown:
                break
            ips = unknown
        for ip, known in partly.items():
            whole = found.get(ip)
            found[ip] = known if whole is None else Found(merge(known.geo, whole.geo), whole.origin)
        return found

    async def ask_fleet(self, ips: Sequence[str], local: Mapping[str, Found] = _NOTHING) -> dict[str, Found]:
        """Ask the fleet about those that the local sources gave no country of their own, whatever their backoff."""
        wanted = [] if self.fleet is None else [ip for ip in ips if not is_surer(local.get(ip))]
        if self.fleet is None or not wanted:
            return {}
        return self.from_fleet(await self.fleet.find(wanted))

    def from_fleet(self, places: Mapping[str, Geo]) -> dict[str, Found]:
        """Return what other hosts found as an answer, each country under its one name."""
        return {ip: Found(self._named(geo), Origin.FLEET) for ip, geo in places.items()}

    def remote_wait(self) -> float:
        """Return the seconds until the remote source may be asked; infinite where none may be used."""
        remote = self.remote
        if remote is None or not self._may_ask_remote():
            return math.inf
        return remote.wait()

    @property
    def remote_batch(self) -> int:
        """Return how many addresses one request may hold; at least 1."""
        remote = self.remote
        return 1 if remote is None else max(1, remote.batch_size)

    async def choose(self, ips: Sequence[str]) -> Choice:
        """Choose the next batch for the remote source: a whole one if there are enough that nobody else asks about."""
        remote, size = self.remote, self.remote_batch
        batch: list[str] = []
        elsewhere: list[str] = []
        start = 0
        while remote is not None and start < len(ips) and len(batch) < size:
            part = ips[start : start + (CHOSEN_FROM if start else 2 * size)]
            claimed = await remote.claimed(part)
            for ip in part:
                if len(batch) == size:
                    break
                start += 1
                (elsewhere if ip in claimed else batch).append(ip)
        return Choice(batch, elsewhere, ips[start:])

    async def ask_remote(self, ips: Sequence[str]) -> dict[str, Found] | None:
        """Ask the remote source about one batch; None where it could not be asked, or gave no answer.

        Addresses whose country it does not know are put off by the backoff; addresses missing from its answer are not.
        """
        remote = self.remote
        if remote is None or not self._may_ask_remote() or not ips:
            return None
        asked = ips[: self.remote_batch]
        try:
            answers = await remote.resolve(asked, self.backoff.next_delay)
        except SourcePausedError as paused:
            log.debug("source_paused", **paused.log_fields(), seconds=round(paused.seconds))
            return None
        except SourceError as error:
            self._failing.tell((error.source, error.problem), **error.log_fields())
            return None
        self._failing.is_over(source=str(remote.origin))
        known = {ip: answers[ip] for ip in asked if ip in answers}
        found = {ip: Found(self._named(geo), remote.origin) for ip, geo in known.items() if geo is not None}
        self.put_off(without_country(known, found))
        return found

    def sources_changed(self, *, new_remote: bool = False) -> None:
        """Let every address be asked about again: a new source may know it.

        If a remote source is in use and not new, the backoff stays, since it keeps hopeless addresses from using up the
        quota. The local sources are asked regardless of it.
        """
        if self.remote is None or new_remote:
            self.backoff.clear()
        self.changes += 1

    @property
    def changed_since_asked(self) -> bool:
        """Say whether a source has changed since the local ones were last asked about all that is unresolved."""
        return self._asked_after != self.changes

    @property
    def may_know_more(self) -> bool:
        """Say whether asking here may find what asking on another host, with the same files, has not found."""
        return self.remote is not None or self.changed_since_asked

    def asked_locally(self, changes: int) -> None:
        """Note that all unresolved addresses were looked up in the local sources as of this count of ``changes``."""
        self._asked_after = changes

    def put_off(self, ips: Iterable[str]) -> None:
        """Record that no source knows these addresses."""
        now = self._clock.monotonic()
        for ip in ips:
            self.backoff.failed(ip, now)
