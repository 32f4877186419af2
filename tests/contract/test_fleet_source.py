"""What a fleet does as a source, whichever it is: over dicts for tests, or the tables on a PostgreSQL server."""

import math
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

import pytest

from bangeod.clock import SystemClock
from bangeod.fleet.fleet import Fleet
from bangeod.fleet.geo_tier import GeoTier
from bangeod.geo.sources import FleetSource
from bangeod.model import Geo, Origin
from tests.support.fleet_table import FleetTable
from tests.support.servers import postgres
from tests.support.servers.fleet import FleetDatabase, fleet_database

IP, OTHER = "8.8.8.8", "2a00:1450:4001::1"
GERMANY, FRANCE = Geo("DE", "Germany", "AS64500", "Example"), Geo("FR", "France")
NOW = int(SystemClock().now())
DAY = 86_400


class Subject(Protocol):
    """A fleet as this host sees it, and the hand of another host in it."""

    @property
    def source(self) -> FleetSource:
        """This host's."""

    async def another_writes(self, places: Mapping[str, Geo]) -> None:
        """Write what another host has found."""

    async def as_another_finds(self) -> Mapping[str, Geo]:
        """Return what this host has told."""


class OverDicts:
    def __init__(self) -> None:
        self.source = self._table = FleetTable()

    async def another_writes(self, places: Mapping[str, Geo]) -> None:
        self._table.places |= places

    async def as_another_finds(self) -> Mapping[str, Geo]:
        return self._table.told


class OnServer:
    def __init__(self, database: FleetDatabase) -> None:
        self.fleets = [Fleet(database.conninfo(role), SystemClock(), timeout=5.0) for role in ("web1", "web2")]
        self.tiers = [GeoTier(fleet, most_waiting=1_000) for fleet in self.fleets]
        self.source, self._another = self.tiers

    async def another_writes(self, places: Mapping[str, Geo]) -> None:
        for ip, geo in places.items():
            self._another.found(ip, geo, Origin.MMDB, last_seen=NOW, resolved_at=NOW)
        await self._another.flush(lambda: math.inf)

    async def as_another_finds(self) -> Mapping[str, Geo]:
        return await self._another.find([IP, OTHER])

    async def close(self) -> None:
        for tier, fleet in zip(self.tiers, self.fleets, strict=True):
            await tier.close()
            await fleet.close()


@pytest.fixture(params=["dicts", "postgres"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "dicts":
        yield OverDicts()
        return
    with fleet_database(postgres.shared_or_skip()) as database:
        database.make_tables()
        subject = OnServer(database)
        try:
            yield subject
        finally:
            await subject.close()


def find(subject: Subject, ip: str = IP, geo: Geo = GERMANY, origin: Origin = Origin.MMDB, seen: int = NOW) -> None:
    subject.source.found(ip, geo, origin, last_seen=seen, resolved_at=seen)


async def flush(subject: Subject) -> None:
    await subject.source.flush(lambda: math.inf)


async def test_what_another_host_found_is_found(subject: Subject) -> None:
    await subject.another_writes({IP: GERMANY, OTHER: FRANCE})
    assert await subject.source.find([IP, OTHER, "9.9.9.9"]) == {IP: GERMANY, OTHER: FRANCE}


async def test_what_this_host_found_is_told_at_the_flush(subject: Subject) -> None:
    find(subject)
    find(subject, OTHER, FRANCE, Origin.IP_API)
    assert await subject.as_another_finds() == {}
    await flush(subject)
    assert await subject.as_another_finds() == {IP: GERMANY, OTHER: FRANCE}


@pytest.mark.parametrize("origin", [Origin.EMBEDDED, Origin.FLEET, Origin.MEMORY, Origin.DATABASE])
async def test_what_is_no_evidence_is_not_told(subject: Subject, origin: Origin) -> None:
    find(subject, origin=origin)
    await flush(subject)
    assert await subject.as_another_finds() == {}


async def test_what_was_found_again_takes_the_place_of_what_was_told(subject: Subject) -> None:
    find(subject, seen=NOW - 10)
    await flush(subject)
    find(subject, geo=FRANCE)
    await flush(subject)
    assert await subject.as_another_finds() == {IP: FRANCE}


async def test_without_time_nothing_is_told_and_nothing_is_lost(subject: Subject) -> None:
    find(subject)
    await subject.source.flush(lambda: 0.0)
    assert await subject.as_another_finds() == {}
    await flush(subject)
    assert await subject.as_another_finds() == {IP: GERMANY}


async def test_what_another_host_has_written_is_read_again(subject: Subject) -> None:
    assert await subject.source.read_again([IP]) == {}
    await subject.another_writes({IP: GERMANY})
    assert await subject.source.read_again([IP, OTHER]) == {IP: GERMANY}
    await subject.another_writes({IP: FRANCE})
    assert await subject.source.read_again([IP]) == {IP: FRANCE}
    assert await subject.source.find([IP]) == {IP: FRANCE}


async def test_what_was_not_seen_for_long_is_deleted_and_what_is_in_use_stays(subject: Subject) -> None:
    find(subject, seen=NOW - 10 * DAY)
    find(subject, OTHER, FRANCE, seen=NOW - 10 * DAY)
    await flush(subject)
    subject.source.seen(OTHER, NOW)
    await flush(subject)
    assert await subject.source.delete_stale(NOW - DAY, lambda: math.inf) == 1
    assert await subject.as_another_finds() == {OTHER: FRANCE}


async def test_what_another_host_wrote_is_not_deleted_here(subject: Subject) -> None:
    await subject.another_writes({IP: GERMANY})
    assert await subject.source.delete_stale(NOW + DAY, lambda: math.inf) == 0
    assert await subject.source.find([IP]) == {IP: GERMANY}
