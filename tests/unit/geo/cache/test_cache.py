"""Lookups: the order of the sources, what is never asked, and what is remembered of what nobody knows."""

import asyncio
from collections.abc import Callable, Mapping
from itertools import pairwise

import pytest

from bangeod.clock import to_text
from bangeod.errors import SourceError, StoreLockedError
from bangeod.geo.cache.backoff import FIRST_DELAY
from bangeod.geo.cache.cache import CLAIMED_TTL, LOCAL_BATCH, LOOKED_UP, GeoCache
from bangeod.geo.cache.resolver import Found, Resolver
from bangeod.model import UNKNOWN, Answer, Geo, Origin, Status
from tests.support.fakes import FRANCE, GERMANY, LocalTable, World

LOCKED = StoreLockedError("memory", "locked", "wait")
IP, OTHER, THIRD = "8.8.8.8", "9.9.9.9", "1.1.1.1"


async def until(holds: Callable[[], bool]) -> None:
    """Give others their turn until something has come about."""
    for _ in range(100):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError


@pytest.fixture
def world() -> World:
    return World()


# --- the order ---


async def test_a_row_comes_before_the_sources(world: World) -> None:
    world.store.put_geo(IP, **GERMANY._asdict())
    world.local.places[IP] = FRANCE
    assert await world.cache.lookup(IP) == Answer(IP, Status.RESOLVED, GERMANY, Origin.DATABASE)
    assert world.cache.known(IP) == GERMANY


async def test_a_row_without_a_country_leaves_it_to_the_sources(world: World) -> None:
    world.store.put_geo(IP)
    world.local.places[IP] = FRANCE
    assert await world.cache.lookup(IP) == Answer(IP, Status.RESOLVED, FRANCE, Origin.MMDB)


async def test_memory_comes_before_the_row(world: World) -> None:
    world.store.put_geo(IP, country_code="DE")
    await world.cache.lookup(IP)
    world.store.put_geo(IP, country_code="FR")
    assert await world.cache.lookup(IP) == Answer(IP, Status.RESOLVED, Geo("DE"), Origin.MEMORY)


async def test_the_negative_cache_comes_before_the_row(world: World) -> None:
    await world.cache.lookup(IP)
    world.store.put_geo(IP, country_code="DE")
    assert (await world.cache.lookup(IP)).status is Status.UNRESOLVED
    world.cache.clear_neg_cache()
    assert (await world.cache.lookup(IP)).origin is Origin.DATABASE


async def test_the_negative_cache_forgets_after_ten_minutes(world: World) -> None:
    await world.cache.lookup(IP)
    world.store.put_geo(IP, country_code="DE")
    world.clock.advance(599)
    assert (await world.cache.lookup(IP)).status is Status.UNRESOLVED
    world.clock.advance(1)
    assert (await world.cache.lookup(IP)).status is Status.RESOLVED


async def test_local_sources_come_in_order_and_before_the_remote_one(world: World) -> None:
    remote = world.with_remote({IP: FRANCE, OTHER: FRANCE})
    world.sources.local = (LocalTable({THIRD: GERMANY}), LocalTable({IP: GERMANY, THIRD: FRANCE}, Origin.EMBEDDED))
    answers = await world.cache.lookup_batch([IP, OTHER, THIRD])
    assert [(a.geo, a.origin) for a in answers] == [
        (GERMANY, Origin.EMBEDDED),
        (FRANCE, Origin.IP_API),
        (GERMANY, Origin.MMDB),
    ]
    assert remote.requests == [[OTHER]]


async def test_a_row_without_a_country_does_not_keep_the_sources_from_being_asked(world: World) -> None:
    world.store.put_geo(IP, last_seen=to_text(world.now))
    world.local.places[IP] = GERMANY
    assert (await world.cache.lookup(IP)).geo == GERMANY


async def test_a_failing_database_does_not_keep_the_sources_from_being_asked(world: World) -> None:
    world.store.fail_next(LOCKED)
    world.local.places[IP] = GERMANY
    assert (await world.cache.lookup(IP)).geo == GERMANY
    assert world.cache.dirty == 1


async def test_answers_come_in_the_order_asked_each_under_its_own_text(world: World) -> None:
    world.local.places |= {IP: GERMANY, "2001:4860:4860::8888": FRANCE}
    asked = [OTHER, "::ffff:8.8.8.8", IP, "10.0.0.1", "2001:4860:4860:0::8888", "x", IP, "2001:4860:4860::8888".upper()]
    answers = await world.cache.lookup_batch(asked)
    assert [answer.ip for answer in answers] == asked
    assert [answer.geo.country_code for answer in answers] == [None, "DE", "DE", None, "FR", None, "DE", "FR"]


async def test_each_address_of_a_batch_is_asked_about_once(world: World) -> None:
    await world.cache.lookup_batch([IP, "::ffff:8.8.8.8", IP])
    assert world.local.asked == [IP]
    assert list(world.dirty) == [IP]


async def test_an_empty_batch_is_answered(world: World) -> None:
    assert await world.cache.lookup_batch([]) == []
    assert world.cache.lookup_cached_only([]) == []


async def test_a_large_batch_lets_others_have_their_turn(world: World) -> None:
    ips = [f"8.8.{i // 256}.{i % 256}" for i in range(1_200)]
    looking_up = asyncio.create_task(world.cache.lookup_batch(ips))
    turns = 0
    while not looking_up.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 3
    assert len(world.local.asked) == 1_200


# --- what is never asked ---


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("10.0.0.1", Status.PRIVATE),
        ("100.64.0.1", Status.PRIVATE),
        ("127.0.0.1", Status.PRIVATE),
        ("192.0.2.1", Status.PRIVATE),
        ("224.0.0.1", Status.PRIVATE),
        ("::1", Status.PRIVATE),
        ("::ffff:10.0.0.1", Status.PRIVATE),
        ("fe80::1%eth0", Status.PRIVATE),
        ("", Status.INVALID),
        ("example.org", Status.INVALID),
        ("8.8.8.8/32", Status.INVALID),
        (" 8.8.8.8", Status.INVALID),
        ("\ud800", Status.INVALID),
    ],
)
async def test_what_is_not_routable_is_classified_here_and_never_asked(world: World, text: str, status: Status) -> None:
    remote = world.with_remote({})
    world.store.lost = True  # a look at the database would be an error
    assert await world.cache.lookup(text) == Answer(text, status)
    assert world.cache.lookup_cached_only([text]) == [Answer(text, status)]
    assert (world.local.asked, remote.asked, world.cache.dirty, world.cache.entries) == ([], [], 0, 0)
    assert world.cache.negative == 0


async def test_cached_only_asks_nobody(world: World) -> None:
    world.local.places[IP] = GERMANY
    world.store.put_geo(IP, country_code="DE")
    assert world.cache.lookup_cached_only([IP]) == [Answer(IP, Status.UNRESOLVED)]
    assert (world.local.asked, world.cache.dirty) == ([], 0)


async def test_stored_asks_no_source(world: World) -> None:
    world.store.put_geo(IP, country_code="DE")
    world.local.places[OTHER] = GERMANY
    answers = await world.cache.lookup_stored([IP, OTHER])
    assert [answer.status for answer in answers] == [Status.RESOLVED, Status.UNRESOLVED]
    assert (world.local.asked, OTHER in world.dirty) == ([], False)


# --- what nobody knows ---


async def test_a_routable_address_that_nobody_knows_gets_a_row_without_a_country(world: World) -> None:
    assert await world.cache.lookup(IP) == Answer(IP, Status.UNRESOLVED)
    await world.cache.flush_dirty()
    row = world.store.geo_cache[IP]
    assert (row["country_code"], row["last_seen"]) == (None, to_text(world.now))


async def test_backoff_binds_lookups_and_clearing_the_negative_cache_does_not_shorten_it(world: World) -> None:
    await world.cache.lookup(IP)
    world.local.places[IP] = GERMANY
    for _ in range(3):
        world.cache.clear_neg_cache()
        assert (await world.cache.lookup(IP)).status is Status.UNRESOLVED
    assert world.local.asked == [IP]
    world.clock.advance(600)
    assert (await world.cache.lookup(IP)).geo == GERMANY


async def test_an_address_that_was_resolved_has_no_backoff_any_more(world: World) -> None:
    await world.cache.lookup(IP)
    world.clock.advance(600)
    world.local.places[IP] = GERMANY
    await world.cache.lookup(IP)
    assert len(world.resolver.backoff) == 0
    assert world.cache.negative == 0


async def test_what_just_was_not_found_is_not_worth_asking_until_it_is_forgotten(world: World) -> None:
    assert world.cache.worth_asking([IP])
    await world.cache.lookup(IP)
    assert not world.cache.worth_asking([IP, f"::ffff:{IP}"])
    assert world.cache.worth_asking([IP, OTHER])
    world.clock.advance(600)
    assert world.cache.worth_asking([IP])


# --- the remote source ---


async def test_a_paused_remote_source_is_not_asked_and_nobody_waits(world: World) -> None:
    remote = world.with_remote({IP: GERMANY})
    remote.pause(3_600)
    assert (await world.cache.lookup(IP)).status is Status.UNRESOLVED
    assert remote.requests == []
    assert world.dirty[IP].geo == UNKNOWN
    assert world.resolver.due([IP]) == [IP]


async def test_a_lookup_stops_where_the_quota_ends(world: World) -> None:
    ips = [f"8.8.8.{i}" for i in range(12)]
    remote = world.with_remote(dict.fromkeys(ips, GERMANY))
    remote.quota = 2
    answers = await world.cache.lookup_batch(ips)
    assert [answer.status for answer in answers] == [Status.RESOLVED] * 6 + [Status.UNRESOLVED] * 6
    assert world.resolver.due(ips[6:]) == ips[6:]


async def test_a_failing_remote_source_leaves_addresses_unresolved_and_due(world: World) -> None:
    remote = world.with_remote({IP: GERMANY})
    remote.faults.append(SourceError("ip-api", "broken"))
    assert (await world.cache.lookup(IP)).status is Status.UNRESOLVED
    assert world.resolver.due([IP]) == [IP]
    world.cache.clear_neg_cache()
    assert (await world.cache.lookup(IP)).geo == GERMANY


async def test_what_the_remote_source_does_not_know_is_put_off_and_what_it_left_out_is_not(world: World) -> None:
    world.with_remote({IP: None})
    await world.cache.lookup_batch([IP, OTHER])
    assert world.resolver.due([IP, OTHER]) == [OTHER]


async def test_what_cost_quota_is_to_be_written_at_once(world: World) -> None:
    world.with_remote({IP: GERMANY})
    await world.cache.lookup(IP)
    assert world.full == 1


async def test_two_lookups_of_one_address_cost_one_request(world: World) -> None:
    remote = world.with_remote({IP: GERMANY, OTHER: FRANCE})
    remote.gate.clear()
    first = asyncio.create_task(world.cache.lookup_batch([IP]))
    second = asyncio.create_task(world.cache.lookup_batch([IP, OTHER]))
    for _ in range(9):
        await asyncio.sleep(0)
    remote.gate.set()
    assert [answer.geo for answer in await first] == [GERMANY]
    assert [answer.geo for answer in await second] == [GERMANY, FRANCE]
    assert remote.requests == [[IP], [OTHER]]
    assert remote.most_in_flight == 1


async def test_what_another_lookup_has_just_found_out_is_not_asked_again(world: World) -> None:
    remote = world.with_remote({IP: GERMANY, OTHER: None})
    remote.gate.clear()
    lookups = [asyncio.create_task(world.cache.lookup_batch([IP, OTHER])) for _ in range(3)]
    await until(lambda: bool(remote.requests))
    remote.gate.set()
    for answers in await asyncio.gather(*lookups):
        assert [answer.status for answer in answers] == [Status.RESOLVED, Status.UNRESOLVED]
    assert remote.requests == [[IP, OTHER]]


async def test_a_lookup_that_is_given_up_leaves_a_row_to_be_resolved_later(world: World) -> None:
    remote = world.with_remote({IP: GERMANY})
    remote.gate.clear()
    looking_up = asyncio.create_task(world.cache.lookup(IP))
    await until(lambda: bool(remote.requests))
    looking_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking_up
    assert world.dirty[IP].geo == UNKNOWN
    remote.gate.set()
    assert (await world.cache.lookup(IP)).geo == GERMANY


async def test_what_another_host_asks_about_is_not_asked_and_soon_looked_for_again(world: World) -> None:
    remote = world.with_remote({IP: GERMANY, OTHER: FRANCE})
    remote.elsewhere = {IP}
    answers = await world.cache.lookup_batch([IP, OTHER])
    assert [answer.status for answer in answers] == [Status.UNRESOLVED, Status.RESOLVED]
    assert remote.requests == [[OTHER]]
    remote.elsewhere = set()
    assert (await world.cache.lookup(IP)).status is Status.UNRESOLVED  # not with each lookup
    world.clock.advance(CLAIMED_TTL)
    assert (await world.cache.lookup(IP)).geo == GERMANY


async def test_without_the_lock_the_remote_source_is_not_asked(world: World) -> None:
    remote = world.with_remote({IP: GERMANY})
    resolver = Resolver(world.clock, world.sources, may_ask_remote=lambda: False)
    cache = GeoCache(world.store, resolver, world.clock)
    assert (await cache.lookup(IP)).status is Status.UNRESOLVED
    assert remote.requests == []


async def test_a_lookup_that_is_cancelled_leaves_no_question_to_the_database_behind(world: World) -> None:
    world.store.gate.clear()
    others = asyncio.all_tasks()
    addresses = [f"8.8.{number // 256}.{number % 256}" for number in range(2 * LOCAL_BATCH)]
    lookup = asyncio.create_task(world.cache.lookup_batch(addresses))
    await until(lambda: bool(world.local.asked))  # and the rest of them are still to be asked about
    lookup.cancel()
    with pytest.raises(asyncio.CancelledError):
        await lookup
    assert asyncio.all_tasks() == others


@pytest.mark.parametrize("in_rows", [False, True])
async def test_what_is_found_for_many_is_taken_in_a_slice_at_a_time(
    world: World, in_rows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = [f"8.8.{number // 256}.{number % 256}" for number in range(LOOKED_UP)]
    world.local.places = dict.fromkeys(addresses, FRANCE)
    for ip in addresses if in_rows else ():
        world.store.put_geo(ip, country_code="DE")
    memory, sizes = world.cache._memory, list[int]()

    def noting(take: Callable[..., object]) -> Callable[..., object]:
        def noted(found: Mapping[str, object], *rest: object) -> object:
            sizes.append(len(found))
            return take(found, *rest)

        return noted

    monkeypatch.setattr(memory, "adopt", noting(memory.adopt))
    monkeypatch.setattr(memory, "take_rows", noting(memory.take_rows))
    await world.cache.lookup_batch(addresses)
    assert (sum(sizes), max(sizes)) == (LOOKED_UP, LOCAL_BATCH)


async def test_what_a_file_said_that_is_no_longer_in_use_is_not_taken_in(world: World) -> None:
    world.store.gate.clear()
    world.local.places[IP] = GERMANY
    lookup = asyncio.create_task(world.cache.lookup(IP))
    await until(lambda: bool(world.local.asked))
    world.local.places[IP] = FRANCE
    world.resolver.sources_changed()
    world.store.gate.set()
    assert (await lookup).geo == FRANCE
    assert world.cache.known(IP) == FRANCE


async def test_two_who_ask_at_once_about_what_nobody_knows_count_as_one_attempt(world: World) -> None:
    await asyncio.gather(world.cache.lookup(IP), world.cache.lookup(IP))
    world.clock.advance(FIRST_DELAY)
    assert world.resolver.due([IP]) == [IP]


async def test_what_was_asked_about_lately_is_answered_as_memory_has_it_now(world: World) -> None:
    """Of an address that moves, goes and comes back, though it was asked about just before."""
    world.store.put_geo(IP, country_code="DE", country_name="Germany", last_seen=to_text(world.now))
    await world.cache.load_from_db()

    def asked() -> object:
        for _ in range(2):
            [text] = world.cache.lookup_written([IP], str)
        return text

    assert asked() == str(Geo("DE", "Germany"))
    await world.cache.verify(lambda _: FRANCE)
    assert asked() == str(FRANCE)
    await world.cache.flush_dirty()
    world.cache.forget([IP])
    assert asked() == Answer(IP, Status.UNRESOLVED)
    world.cache.adopt({IP: Found(FRANCE, Origin.MMDB)})
    assert asked() == str(FRANCE)
    world.cache.clear()
    assert asked() == str(FRANCE)  # it still waits to be written


async def test_one_who_asks_all_day_moves_last_seen_once_a_day(world: World) -> None:
    world.store.put_geo(IP, country_code="DE", country_name="Germany", last_seen=to_text(world.now))
    await world.cache.load_from_db()
    seen = []
    for _ in range(3 * 24):
        world.clock.advance(3_600)
        world.cache.lookup_written([IP], str)
        seen += [entry.last_seen for entry in world.cache.dirty_entries()]
        await world.cache.flush_dirty()
    assert [later - earlier for earlier, later in pairwise(seen)] == [86_400] * 2


async def test_what_memory_knows_can_be_had_in_writing(world: World) -> None:
    """Of each address what a lookup in memory would answer; the place in writing where it has a country."""
    now = to_text(world.now)
    world.store.put_geo("8.8.8.8", country_code="DE", country_name="Germany", last_seen=now)
    world.store.put_geo("2a00::1", country_code="FR", country_name="France", last_seen=to_text(world.now - 2 * 86_400))
    world.store.put_geo("9.9.9.9", asn="AS1", last_seen=now)
    await world.cache.load_from_db()
    asked = ["::ffff:8.8.8.8", "10.0.0.1", "2A00::1", "nonsense", "9.9.9.9", "1.1.1.1", "8.8.8.8"]
    written = world.cache.lookup_written(asked, str)
    assert world.dirty.keys() == {"2a00::1"}  # it has been seen, and not today
    answers = world.cache.lookup_cached_only(asked)
    assert written == [str(answer.geo) if answer.geo.country_code else answer for answer in answers]
    assert [answer.status for answer in answers if answer.geo.country_code] == [Status.RESOLVED] * 3
