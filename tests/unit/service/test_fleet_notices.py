"""What a host makes of the notices of others: addresses are read again soon, and never more wait than may."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bangeod.fleet.fleet import Fleet
from bangeod.fleet.geo_tier import GeoTier
from bangeod.geo.cache.cache import GeoCache
from bangeod.geo.cache.resolver import Resolver
from bangeod.model import Geo
from bangeod.service import fleet_notices
from bangeod.service.fleet_notices import FleetNotices
from bangeod.store.postgres.connection import Conninfo
from tests.support.fakes import World
from tests.support.fleet_table import FleetTable

IP, OTHER, THIRD = "8.8.8.8", "9.9.9.9", "1.1.1.1"
JAPAN = Geo("JP", "Japan")


class Told:
    """A cache in a fleet, and the notices that it is told by."""

    def __init__(self) -> None:
        world = World()
        self.fleet = FleetTable(dict.fromkeys((IP, OTHER, THIRD), JAPAN))
        self.cache = GeoCache(world.store, Resolver(world.clock, world.sources, fleet=self.fleet), world.clock)
        self.gaps = 0
        fleet = Fleet(Conninfo("", "postgresql:///fleet"), world.clock, host="web1")
        self.tier = GeoTier(fleet, most_waiting=10)
        self.notices = FleetNotices(fleet, self.tier, self.cache, self._on_gap)

    def _on_gap(self) -> None:
        self.gaps += 1


@pytest.fixture
async def told() -> AsyncIterator[Told]:
    told = Told()
    following = asyncio.create_task(told.notices.follow())
    yield told
    following.cancel()


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_others_have_written_is_read_soon(told: Told) -> None:
    await told.notices.heard("bangeod_geo", [IP, OTHER])
    await turns()
    assert told.fleet.kept == {IP: JAPAN, OTHER: JAPAN}


async def test_of_more_than_may_wait_those_that_were_told_last_are_read(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_notices, "MOST", 2)
    await told.notices.heard("bangeod_geo", [IP, OTHER, THIRD])
    await turns()
    assert told.fleet.kept == {OTHER: JAPAN, THIRD: JAPAN}


async def test_after_a_gap_the_server_is_there_and_what_has_no_country_is_asked_about_again(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []

    async def is_back(_tier: GeoTier) -> None:
        steps.append(told.gaps)

    monkeypatch.setattr(GeoTier, "is_back", is_back)
    await told.notices.missed(0.0)
    assert (steps, told.gaps) == ([0], 1)
    assert not told.notices.is_listening
