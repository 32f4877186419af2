"""Addresses of which something is known, but no country: answered, kept and completed field by field."""

import pytest

from bangeod.clock import to_text
from bangeod.model import Answer, DirtyEntry, Geo, Origin, Status
from tests.support.fakes import FRANCE, GERMANY, LocalTable, World

IP, OTHER = "8.8.8.8", "9.9.9.9"
AS = Geo(asn="AS64496", org="Known")
ANOTHER_AS = Geo(asn="AS64511", org="Another")
FRENCH = Geo("FR", "France", "AS64496", "Known")


@pytest.fixture
def world() -> World:
    world = World()
    world.local.places[IP] = AS
    return world


async def test_an_answer_without_a_country_has_the_rest_and_is_unresolved(world: World) -> None:
    assert await world.cache.lookup(IP) == Answer(IP, Status.UNRESOLVED, AS)


async def test_a_new_row_has_the_rest(world: World) -> None:
    await world.cache.lookup(IP)
    await world.cache.flush_dirty()
    row = world.store.geo_cache[IP]
    assert (row["country_code"], row["asn"], row["org"]) == (None, "AS64496", "Known")


async def test_memory_answers_with_it_while_nobody_is_asked_again(world: World) -> None:
    await world.cache.lookup(IP)
    world.local.asked.clear()
    assert await world.cache.lookup(IP) == Answer(IP, Status.UNRESOLVED, AS)
    assert world.cache.lookup_cached_only([IP]) == [Answer(IP, Status.UNRESOLVED, AS)]
    assert await world.cache.lookup_stored([IP]) == [Answer(IP, Status.UNRESOLVED, AS)]
    assert world.local.asked == []


async def test_it_is_put_off_like_any_other_without_a_country(world: World) -> None:
    await world.cache.lookup(IP)
    assert world.resolver.due([IP]) == []
    assert not world.cache.worth_asking([IP])
    world.clock.advance(600)
    assert world.resolver.due([IP]) == [IP]


async def test_what_has_not_changed_is_not_written_again(world: World) -> None:
    await world.cache.lookup(IP)
    await world.cache.flush_dirty()
    found = await world.cache.ask_local([IP])
    assert found[IP].geo == AS
    assert world.dirty == {}


async def test_an_autonomous_system_that_has_changed_is_written(world: World) -> None:
    await world.cache.lookup(IP)
    await world.cache.flush_dirty()
    world.local.places[IP] = ANOTHER_AS
    await world.cache.ask_local([IP])
    assert world.dirty[IP].geo == ANOTHER_AS
    assert world.cache.lookup_cached_only([IP]) == [Answer(IP, Status.UNRESOLVED, ANOTHER_AS)]


async def test_the_row_follows_an_autonomous_system_that_has_changed_in_a_later_process_as_well(world: World) -> None:
    world.store.put_geo(IP, asn="AS64511", org="Another", last_seen=to_text(world.now))
    await world.cache.load_from_db()
    await world.cache.ask_local([IP])
    await world.cache.flush_dirty()
    row = world.store.geo_cache[IP]
    assert (row["country_code"], row["asn"], row["org"]) == (None, "AS64496", "Known")


async def test_the_autonomous_system_that_the_web_app_gave_a_row_meanwhile_stays(world: World) -> None:
    world.store.put_geo(IP, asn="AS64511", last_seen=to_text(world.now))
    await world.cache.load_from_db()
    await world.cache.ask_local([IP])
    world.store.put_geo(IP, asn="AS64501", last_seen=to_text(world.now))
    await world.cache.flush_dirty()
    assert world.store.geo_cache[IP]["asn"] == "AS64501"


async def test_sources_make_up_for_one_another(world: World) -> None:
    world.sources.local = (world.local, LocalTable({IP: FRANCE, OTHER: FRANCE}, Origin.EMBEDDED))
    answers = await world.cache.lookup_batch([IP, OTHER])
    assert answers == [
        Answer(IP, Status.RESOLVED, FRENCH, Origin.EMBEDDED),
        Answer(OTHER, Status.RESOLVED, FRANCE, Origin.EMBEDDED),
    ]
    assert world.dirty[IP].geo == FRENCH


async def test_the_country_that_a_local_source_knows_later_joins_what_was_known(world: World) -> None:
    await world.cache.lookup(IP)
    world.local.places[IP] = FRANCE
    found = await world.cache.ask_local([IP])
    assert found[IP].geo == FRENCH
    assert world.cache.known(IP) == FRENCH
    assert world.dirty[IP].geo == FRENCH
    assert world.cache.worth_asking([IP])


async def test_the_country_that_ip_api_knows_joins_what_the_local_sources_know(world: World) -> None:
    world.with_remote({IP: Geo("FR", "France", "AS64511", "Another")})
    assert await world.cache.lookup(IP) == Answer(IP, Status.RESOLVED, FRENCH, Origin.IP_API)
    assert world.cache.known(IP) == FRENCH


async def test_what_ip_api_knows_without_a_country_is_kept_as_well(world: World) -> None:
    world.with_remote({OTHER: AS})
    assert await world.cache.lookup(OTHER) == Answer(OTHER, Status.UNRESOLVED, AS)
    assert world.resolver.due([OTHER]) == []
    assert world.dirty[OTHER].geo == AS


async def test_it_never_takes_the_place_of_a_country(world: World) -> None:
    world.cache.restore_dirty([DirtyEntry(IP, GERMANY, last_seen=world.now, resolved_at=world.now)])
    await world.cache.ask_local([IP])
    assert world.cache.known(IP) == GERMANY
    assert world.dirty[IP].geo == GERMANY


async def test_a_row_that_knows_it_answers_where_no_source_does(world: World) -> None:
    world.store.put_geo(OTHER, asn="AS64496", org="Known", last_seen=to_text(world.now))
    assert await world.cache.lookup_stored([OTHER]) == [Answer(OTHER, Status.UNRESOLVED, AS)]
    assert await world.cache.lookup(OTHER) == Answer(OTHER, Status.UNRESOLVED, AS)
    assert world.dirty == {}


async def test_the_row_of_an_address_does_not_undo_what_waits_to_be_written(world: World) -> None:
    world.store.put_geo(IP, asn="AS64511", last_seen=to_text(world.now))
    await world.cache.ask_local([IP])
    await world.cache.load_from_db()
    assert world.cache.known(IP) == AS
    await world.cache.flush_dirty()
    await world.cache.load_from_db()
    assert world.cache.known(IP) == AS


async def test_a_row_without_anything_takes_nothing_away(world: World) -> None:
    await world.cache.lookup(IP)
    await world.cache.flush_dirty()
    world.store.put_geo("::ffff:8.8.8.8", last_seen=to_text(world.now))
    await world.cache.load_from_db()
    assert world.cache.known(IP) == AS


async def test_it_outlives_a_dirty_set_that_is_full(world: World) -> None:
    """Such an address is answered and not kept."""
    world.cache.limit(max_entries=1_000_000, max_dirty=0)
    assert await world.cache.lookup(IP) == Answer(IP, Status.UNRESOLVED, AS)
    assert world.cache.known(IP) is None
