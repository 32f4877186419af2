"""Following other daemons: what is read again and when, with time in the test's hand."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bangeod.clock import to_text
from bangeod.errors import StoreLockedError
from bangeod.geo.cache.resolver import Found
from bangeod.model import Origin
from bangeod.service import following as following_module
from bangeod.service.following import AGAIN_AFTER, CATCH_UP_APART, SETTLED_AFTER, Following
from tests.support.fakes import FRANCE, GERMANY, World

IP, OTHER = "8.8.8.8", "9.9.9.9"


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


class Followed:
    """A world whose memory follows; the sleeps end when the test lets time pass."""

    def __init__(self) -> None:
        self.world = World()
        self.caught_up = 0
        self.slept: list[float] = []
        self._waking: list[tuple[float, asyncio.Event]] = []
        self.following = Following(self.world.cache, self.world.clock, self._catch_up, sleep=self._sleep)

    def _catch_up(self) -> None:
        self.caught_up += 1

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        wake = asyncio.Event()
        self._waking.append((self.world.clock.monotonic() + seconds, wake))
        await wake.wait()

    async def pass_time(self, seconds: float) -> None:
        self.world.clock.advance(seconds)
        for at, wake in self._waking:
            if at <= self.world.clock.monotonic():
                wake.set()
        await settled()

    async def tell(self, *ips: str) -> None:
        await self.following.on_addresses("channel", ips)
        await settled()

    async def gap(self) -> None:
        await self.following.on_gap(0.0)
        await settled()


@pytest.fixture
async def followed() -> AsyncIterator[Followed]:
    followed = Followed()
    running = asyncio.ensure_future(followed.following.run())
    yield followed
    running.cancel()
    await asyncio.wait([running])


async def test_what_is_told_is_read_at_once(followed: Followed) -> None:
    followed.world.store.put_geo(IP, country_code="DE")
    await followed.tell(IP)
    assert followed.world.cache.known(IP)
    assert followed.following.lag == 0


async def test_rows_that_can_not_be_read_are_asked_for_again_and_the_lag_grows(followed: Followed) -> None:
    followed.world.store.put_geo(IP, country_code="DE")
    followed.world.store.put_geo(OTHER, country_code="FR")
    followed.world.store.fail_next(StoreLockedError("memory", "locked", "wait"))
    await followed.tell(IP)
    assert followed.slept == [AGAIN_AFTER]
    followed.world.clock.advance(2)
    await followed.tell(OTHER)
    assert followed.following.lag == 2
    await followed.pass_time(AGAIN_AFTER - 2)
    assert followed.world.cache.known(IP)
    assert followed.world.cache.known(OTHER)
    assert followed.following.lag == 0


async def test_what_waits_to_be_written_is_read_again_once_it_is_written(followed: Followed) -> None:
    world = followed.world
    world.cache.adopt({IP: Found(GERMANY, Origin.MMDB)})
    world.store.put_geo(IP, **FRANCE._asdict(), last_seen=to_text(world.now))
    await followed.tell(IP)
    assert world.cache.known(IP) == GERMANY
    assert followed.following.lag == 0
    await world.cache.flush_dirty()
    await followed.pass_time(SETTLED_AFTER)
    assert world.cache.known(IP) == FRANCE


async def test_after_a_gap_the_table_is_read_again(followed: Followed) -> None:
    await followed.gap()
    assert followed.caught_up == 1


async def test_gaps_one_after_the_other_have_it_read_again_once_a_minute(followed: Followed) -> None:
    await followed.gap()
    await followed.pass_time(10)
    await followed.gap()
    await followed.gap()
    assert (followed.caught_up, followed.slept) == (1, [CATCH_UP_APART - 10])
    await followed.pass_time(CATCH_UP_APART - 10)
    assert followed.caught_up == 2
    await followed.pass_time(CATCH_UP_APART)
    assert followed.caught_up == 2


async def test_where_too_much_is_told_the_whole_table_is_read_instead(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following_module, "MOST", 3)
    followed.world.store.put_geo(IP, country_code="DE")
    await followed.tell(IP, "8.8.8.1", "8.8.8.2", "8.8.8.3")
    assert followed.caught_up == 1
    assert followed.world.cache.known(IP) is None
