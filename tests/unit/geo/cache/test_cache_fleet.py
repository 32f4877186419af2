"""What the cache asks the fleet, what it makes of its answers, and what it lets the fleet have."""

import asyncio
import math
from collections.abc import Mapping, Sequence

import pytest

from bangeod.errors import StoreLockedError
from bangeod.geo.cache.cache import GeoCache
from bangeod.geo.cache.resolver import Resolver
from bangeod.model import Answer, Geo, Origin, Row, Status
from tests.support.fakes import FRANCE, GERMANY, LocalTable, RemoteTable, World
from tests.support.fleet_table import FleetTable

IP, OTHER, THIRD = "8.8.8.8", "9.9.9.9", "1.1.1.1"
JAPAN = Geo("JP", "Japan", "AS64501", "Nippon")
DAY = 86_400


class FleetWorld(World):
    """The world of the cache's tests, and a fleet in it."""

    def __init__(self, *, max_entries: int = 1_000) -> None:
        super().__init__()
        self.fleet = FleetTable()
        self.resolver = Resolver(self.clock, self.sources, fleet=self.fleet, named=self.naming.named)
        self.cache = GeoCache(self.store, self.resolver, self.clock, naming=self.naming, max_entries=max_entries)

    async def answer(self, ip: str = IP) -> tuple[Geo, Origin | None]:
        found = await self.cache.lookup(ip)
        return found.geo, found.origin


@pytest.fixture
def world() -> FleetWorld:
    return FleetWorld()


# Who is asked when


async def test_the_fleet_answers_what_neither_memory_nor_row_nor_mmdb_knows(world: FleetWorld) -> None:
    world.fleet.places = {IP: JAPAN}
    assert await world.cache.lookup(IP) == Answer(IP, Status.RESOLVED, JAPAN, Origin.FLEET)
    assert await world.answer() == (JAPAN, Origin.MEMORY)
    assert world.fleet.asked == [IP]


async def test_an_answer_of_the_fleets_goes_into_this_hosts_table(world: FleetWorld) -> None:
    world.fleet.places = {IP: JAPAN}
    await world.cache.lookup(IP)
    await world.cache.flush_dirty()
    assert (await world.store.find([IP]))[IP].geo == JAPAN


async def test_a_row_and_an_mmdb_go_before_the_fleet_which_is_not_even_asked(world: FleetWorld) -> None:
    world.fleet.places = {IP: JAPAN, OTHER: JAPAN}
    world.sources.local = [LocalTable({OTHER: FRANCE})]
    world.store.put_geo(IP, **GERMANY._asdict())
    assert (await world.answer())[0] == GERMANY
    assert await world.answer(OTHER) == (FRANCE, Origin.MMDB)
    assert world.fleet.asked == []


async def test_the_fleet_goes_before_the_embedded_default(world: FleetWorld) -> None:
    world.fleet.places = {IP: JAPAN}
    world.sources.local = [LocalTable({IP: FRANCE, OTHER: FRANCE}, Origin.EMBEDDED)]
    assert await world.answer() == (JAPAN, Origin.FLEET)
    assert await world.answer(OTHER) == (FRANCE, Origin.EMBEDDED)


async def test_the_as_that_an_mmdb_knows_stays_beside_the_fleets_country(world: FleetWorld) -> None:
    world.fleet.places = {IP: JAPAN}
    world.sources.local = [LocalTable({IP: Geo(asn="AS64999", org="Own")})]
    assert await world.answer() == (Geo("JP", "Japan", "AS64999", "Own"), Origin.FLEET)


async def test_the_fleet_goes_before_ip_api(world: FleetWorld) -> None:
    world.fleet.places = {IP: JAPAN}
    remote = world.sources.remote = RemoteTable(world.clock, {IP: FRANCE, OTHER: FRANCE})
    answers = await world.cache.lookup_batch([IP, OTHER])
    assert [answer.origin for answer in answers] == [Origin.FLEET, Origin.IP_API]
    assert remote.asked == [OTHER]


async def test_while_the_fleet_is_away_everything_works_as_without_it(world: FleetWorld) -> None:
    world.fleet.is_away = True
    world.fleet.places = {IP: JAPAN}
    assert (await world.cache.lookup(IP)).status is Status.UNRESOLVED
    world.sources.remote = RemoteTable(world.clock, {OTHER: FRANCE})
    assert await world.answer(OTHER) == (FRANCE, Origin.IP_API)


async def test_an_address_in_the_negative_cache_is_not_asked_about_again(world: FleetWorld) -> None:
    await world.cache.lookup(IP)
    world.fleet.places = {IP: JAPAN}
    assert (await world.cache.lookup(IP)).status is Status.UNRESOLVED
    assert world.fleet.asked == [IP]


async def test_an_address_whose_backoff_is_not_over_is_asked_about_all_the_same(world: FleetWorld) -> None:
    """The backoff spares the quota of ip-api; the fleet has none."""
    await world.cache.lookup(IP)
    world.cache.clear_neg_cache()
    world.fleet.places = {IP: JAPAN}
    assert world.resolver.due([IP]) == []
    assert await world.answer() == (JAPAN, Origin.FLEET)


async def test_a_country_of_the_fleets_has_the_name_that_this_host_gives_it(world: FleetWorld) -> None:
    world.fleet.places = {IP: Geo("DE", "Allemagne")}
    assert (await world.answer())[0].country_name == "Germany"


async def test_files_that_change_while_the_fleet_is_asked_are_asked_anew(
    world: FleetWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sources.local = [LocalTable({IP: Geo(asn="AS1")})]
    gate, asked = asyncio.Event(), asyncio.Event()
    find = world.fleet.find

    async def slow(ips: Sequence[str]) -> Mapping[str, Geo]:
        asked.set()
        await gate.wait()
        return await find(ips)

    monkeypatch.setattr(world.fleet, "find", slow)
    world.fleet.places = {IP: JAPAN}
    looking = asyncio.create_task(world.answer())
    await asked.wait()
    world.sources.local = [LocalTable({IP: FRANCE})]
    world.resolver.sources_changed()
    gate.set()
    assert await looking == (FRANCE, Origin.MMDB)


async def test_the_jobs_question_to_the_local_sources_reaches_the_fleet_too(world: FleetWorld) -> None:
    world.fleet.places = {IP: JAPAN}
    world.sources.local = [LocalTable({OTHER: FRANCE})]
    found = await world.cache.ask_local([IP, OTHER, THIRD])
    assert {ip: known.origin for ip, known in found.items()} == {IP: Origin.FLEET, OTHER: Origin.MMDB}
    assert world.fleet.asked == [IP, THIRD]


# What the fleet is let have


async def test_what_an_mmdb_or_ip_api_found_is_told_at_the_flush(world: FleetWorld) -> None:
    world.sources.local = [LocalTable({IP: FRANCE})]
    world.sources.remote = RemoteTable(world.clock, {OTHER: GERMANY})
    await world.cache.lookup_batch([IP, OTHER])
    assert world.fleet.told == {}
    await world.cache.flush_dirty()
    assert world.fleet.told == {IP: FRANCE, OTHER: GERMANY}


async def test_neither_the_embedded_default_nor_the_fleet_nor_a_row_is_told(world: FleetWorld) -> None:
    world.sources.local = [LocalTable({IP: FRANCE}, Origin.EMBEDDED)]
    world.fleet.places = {OTHER: JAPAN}
    world.cache.hold([Row(THIRD, GERMANY, None)])
    await world.cache.lookup_batch([IP, OTHER, THIRD])
    await world.cache.flush_dirty()
    assert world.fleet.told == {}


async def test_what_is_told_is_what_the_source_said_and_not_what_memory_knew_besides(world: FleetWorld) -> None:
    world.cache.hold([Row(IP, Geo(asn="AS64999", org="Own"), 1)])
    world.sources.remote = RemoteTable(world.clock, {IP: FRANCE})
    await world.cache.ask_remote([IP])
    await world.cache.flush_dirty()
    assert world.fleet.told == {IP: FRANCE}


async def test_a_database_that_can_not_be_written_does_not_keep_the_fleet_from_its_part(world: FleetWorld) -> None:
    world.sources.local = [LocalTable({IP: FRANCE})]
    await world.cache.lookup(IP)
    world.store.fail_next(StoreLockedError("memory", "locked", "wait"))
    with pytest.raises(StoreLockedError):
        await world.cache.flush_dirty()
    assert world.fleet.told == {IP: FRANCE}


async def test_what_a_new_mmdb_says_of_an_address_that_was_elsewhere_is_told(world: FleetWorld) -> None:
    long_ago = world.now - 10 * DAY
    world.cache.hold([Row(IP, GERMANY, long_ago), Row(OTHER, GERMANY, long_ago)])
    files = LocalTable({IP: FRANCE, OTHER: Geo("DE", "Germany", "AS64999", "Own")})
    await world.cache.verify(files.find)
    await world.cache.flush_dirty()
    assert world.fleet.told == {IP: FRANCE}
    assert world.fleet.seen_at == {IP: long_ago}


async def test_an_address_in_use_again_after_a_day_is_seen_in_the_fleet_too(world: FleetWorld) -> None:
    world.sources.local = [LocalTable({IP: FRANCE})]
    await world.cache.lookup(IP)
    await world.cache.flush_dirty()
    world.clock.advance(DAY)
    await world.cache.lookup(IP)
    assert world.fleet.seen_at[IP] == int(world.clock.now())


async def test_stale_rows_in_the_fleet_are_deleted_by_who_wrote_them(world: FleetWorld) -> None:
    assert await world.cache.delete_shared(0, lambda: math.inf) == 0
    world.sources.local = [LocalTable({IP: FRANCE})]
    await world.cache.lookup(IP)
    await world.cache.flush_dirty()
    assert await world.cache.delete_shared(int(world.clock.now()) + 1, lambda: math.inf) == 1


# What another host tells of


async def test_an_address_that_memory_has_without_a_country_is_resolved_by_what_another_host_tells(
    world: FleetWorld,
) -> None:
    await world.cache.lookup(IP)
    world.fleet.places = {IP: JAPAN}
    await world.cache.told_of([IP])
    assert world.cache.known(IP) == JAPAN
    assert await world.answer() == (JAPAN, Origin.MEMORY)
    await world.cache.flush_dirty()
    assert (await world.store.find([IP]))[IP].geo == JAPAN
    assert world.fleet.told == {}


async def test_that_is_no_use_of_the_address(world: FleetWorld) -> None:
    long_ago = int(world.clock.now()) - 10 * DAY
    world.cache.hold([Row(IP, Geo(), long_ago)])
    world.fleet.places = {IP: JAPAN}
    await world.cache.told_of([IP])
    (entry,) = world.cache.dirty_entries()
    assert entry.last_seen == long_ago


async def test_an_address_that_nobody_has_asked_about_here_is_kept_at_hand_and_gets_no_row(world: FleetWorld) -> None:
    world.fleet.places = {IP: JAPAN}
    await world.cache.told_of([IP])
    assert (world.cache.entries, world.cache.dirty) == (0, 0)
    world.fleet.is_away = True
    assert await world.answer() == (JAPAN, Origin.FLEET)


async def test_an_address_that_has_left_memory_and_was_not_found_just_now_is_looked_up_again() -> None:
    world = FleetWorld(max_entries=1)
    for ip in (IP, OTHER, IP, OTHER):
        await world.cache.lookup(ip)
        await world.cache.flush_dirty()
    assert world.cache.known(IP) is None
    world.fleet.places = {IP: JAPAN}
    await world.cache.told_of([IP])
    assert await world.answer() == (JAPAN, Origin.FLEET)


async def test_what_memory_has_a_country_for_is_not_read_again(world: FleetWorld) -> None:
    world.cache.hold([Row(IP, GERMANY, 1)])
    world.fleet.places = {IP: JAPAN}
    await world.cache.told_of([IP])
    assert world.cache.known(IP) == GERMANY
    assert world.fleet.kept == {}


async def test_a_host_in_no_fleet_takes_no_notice() -> None:
    world = World()
    await world.cache.told_of([IP])
    assert await world.cache.delete_shared(0, lambda: math.inf) == 0
