"""Memory follows what others write: rows are read again; what waits to be written, or is learned meanwhile, stays."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from bangeod.clock import to_text
from bangeod.geo.cache.resolver import Found
from bangeod.model import Geo, Origin, Row, Status
from bangeod.store.memory import MemoryStore
from tests.support.fakes import FRANCE, GERMANY, World

IP, OTHER = "8.8.8.8", "9.9.9.9"
SPAIN = Geo("ES", "Spain")


class SlowStore(MemoryStore):
    """A store that reads at once and hands over when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.read = asyncio.Event()
        self.hand = asyncio.Event()

    async def find(self, ips: Sequence[str]) -> Mapping[str, Row]:
        found = await super().find(ips)
        self.read.set()
        await self.hand.wait()
        return found


@pytest.fixture
def world() -> World:
    return World()


def put(world: World, ip: str, geo: Geo) -> None:
    world.store.put_geo(ip, **geo._asdict(), last_seen=to_text(world.now))


async def test_a_row_that_is_new_is_in_memory_and_need_not_be_written(world: World) -> None:
    put(world, IP, GERMANY)
    assert await world.cache.follow([IP]) == []
    assert world.cache.lookup_cached_only([IP])[0].geo == GERMANY
    assert world.cache.dirty == 0


async def test_a_row_that_has_changed_is_in_memory_as_it_is_now(world: World) -> None:
    put(world, IP, GERMANY)
    await world.cache.load_from_db()
    put(world, IP, FRANCE)
    await world.cache.follow([IP])
    assert world.cache.known(IP) == FRANCE


async def test_an_address_whose_row_is_gone_is_forgotten(world: World) -> None:
    put(world, IP, GERMANY)
    await world.cache.load_from_db()
    del world.store.geo_cache[IP]
    await world.cache.follow([IP, OTHER])
    assert world.cache.known(IP) is None


@pytest.mark.parametrize("has_row", [True, False])
async def test_what_waits_to_be_written_stays_and_is_named(world: World, *, has_row: bool) -> None:
    world.cache.adopt({IP: Found(GERMANY, Origin.MMDB)})
    if has_row:
        put(world, IP, FRANCE)
    assert await world.cache.follow([IP]) == [IP]
    assert world.cache.known(IP) == GERMANY
    assert world.cache.dirty == 1


async def test_a_row_is_not_taken_for_newer_than_what_waits_to_be_written(world: World) -> None:
    world.cache.adopt({IP: Found(GERMANY, Origin.MMDB)})
    world.cache._memory.follow([IP], {IP: Row(IP, FRANCE, world.now + 60)})
    assert world.cache.known(IP) == GERMANY


async def test_what_is_learned_while_the_row_is_read_stays_though_it_was_written_since() -> None:
    world = World(store := SlowStore())
    put(world, IP, FRANCE)
    following = asyncio.ensure_future(world.cache.follow([IP]))
    await store.read.wait()
    store.geo_cache.clear()
    world.cache.adopt({IP: Found(SPAIN, Origin.MMDB)})
    await world.cache.flush_dirty()
    store.hand.set()
    assert await following == [IP]
    assert world.cache.known(IP) == SPAIN


async def test_an_address_that_nobody_knew_is_found_once_another_daemon_knows_it(world: World) -> None:
    await world.cache.lookup(IP)
    await world.cache.flush_dirty()
    assert world.cache.negative == 1
    put(world, IP, GERMANY)
    await world.cache.follow([IP])
    assert world.cache.negative == 0
    assert (await world.cache.lookup(IP)).status is Status.RESOLVED


async def test_an_old_page_of_the_table_does_not_undo_it(world: World) -> None:
    put(world, IP, GERMANY)
    await world.cache.load_from_db()
    old = Row(IP, GERMANY, world.now)
    world.cache._memory.changes.begin_page()
    put(world, IP, FRANCE)
    await world.cache.follow([IP])
    world.cache._memory.load([old])
    assert world.cache.known(IP) == FRANCE


async def test_what_sources_tell_is_said_to_be_learned_and_what_a_row_has_is_not(world: World) -> None:
    put(world, OTHER, FRANCE)
    await world.cache.lookup(OTHER)
    assert world.learned == 0
    world.local.places[IP] = GERMANY
    await world.cache.lookup(IP)
    assert world.learned == 1
    await world.cache.lookup(IP)
    assert world.learned == 1
