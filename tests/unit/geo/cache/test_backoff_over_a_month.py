"""A month of addresses that nobody knows: each is asked about ever more rarely, whoever asks, and no day is wasted."""

import asyncio
import random
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from bangeod.clock import to_text
from bangeod.geo.cache.backoff import FIRST_DELAY, LONGEST_DELAY, Backoff, delay_after
from bangeod.jobs.ban_watch import BanWatch
from bangeod.jobs.geo_re_resolve import GeoReResolve
from bangeod.jobs.job import Run
from tests.support.fakes import GERMANY, RemoteTable, World

pytestmark = pytest.mark.slow  # a month of lookups

DAY, MONTH = 86_400.0, 30 * 86_400.0
EVERY = 600.0  # seconds between two runs of the job
STEPS = 9  # attempts until the delay is a day; the delays before it add up to 42.5 hours
MOST_IN_A_MONTH = STEPS + 28


def longest_row(times: Sequence[float], within: float) -> int:
    """Return how many of the times, at most, lie within so many seconds."""
    return max((bisect_left(times, begin + within) - place for place, begin in enumerate(times)), default=0)


@given(st.lists(st.floats(0, 2 * DAY), min_size=1, max_size=200))
def test_whoever_asks_and_whenever_attempts_keep_their_distance(pauses: list[float]) -> None:
    backoff, now = Backoff(), 0.0
    attempts: list[float] = []
    for pause in pauses:
        now += pause
        if backoff.is_due("8.8.8.8", now):
            attempts.append(now)
            backoff.failed("8.8.8.8", now)
    for failures, (earlier, later) in enumerate(pairwise(attempts), start=1):
        assert later - earlier >= delay_after(failures)
    assert longest_row(attempts[STEPS - 1 :], DAY) <= 1


@given(st.integers(1, 10**9))
def test_the_delay_never_falls_and_stays_between_ten_minutes_and_a_day(failures: int) -> None:
    assert FIRST_DELAY <= delay_after(failures) <= delay_after(failures + 1) <= LONGEST_DELAY


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.booleans(), st.floats(0, DAY)), max_size=100))
def test_addresses_do_not_count_for_one_another(steps: list[tuple[str, bool, float]]) -> None:
    together, alone, now = Backoff(), {name: Backoff() for name in "abcdefgh"}, 0.0
    for name, found, pause in steps:
        now += pause
        for backoff in (together, alone[name]):
            if found:
                backoff.forget([name])
            else:
                backoff.failed(name, now)
        assert all(together.is_due(name, now) == alone[name].is_due(name, now) for name in alone)


@pytest.fixture
def world() -> World:
    return World()


async def month(world: World, *, also: Sequence[str] = ()) -> RemoteTable:
    """Run the job every ten minutes for a month, and look up the addresses in ``also`` between any two runs."""
    remote = world.with_remote(dict.fromkeys((*map(str, world.store.geo_cache), *also)))
    remote.batch_size = 100

    async def sleep(seconds: float) -> None:
        world.clock.advance(seconds)

    job = GeoReResolve(world.store, world.cache, BanWatch(), sleep=sleep)
    with capture_logs():
        for _ in range(int(MONTH / EVERY)):
            world.clock.advance(EVERY)
            await job.run(Run.within(540.0, world.clock))
            if also:
                await world.cache.lookup_batch(also)
    return remote


def attempts_of(remote: RemoteTable) -> dict[str, list[float]]:
    """Return when each address was asked about."""
    attempts: dict[str, list[float]] = {}
    for at, asked in zip(remote.times, remote.requests, strict=True):
        for ip in asked:
            attempts.setdefault(ip, []).append(at)
    return attempts


async def test_a_hopeless_address_costs_one_attempt_a_day_and_gets_it(world: World) -> None:
    ips = [f"8.8.8.{octet}" for octet in range(5)]
    for ip in ips:
        world.store.put_geo(ip, last_seen=to_text(world.now))
    attempts = attempts_of(await month(world))
    assert attempts.keys() == set(ips)
    for times in attempts.values():
        assert MOST_IN_A_MONTH - 1 <= len(times) <= MOST_IN_A_MONTH
        assert longest_row(times[STEPS - 1 :], DAY) == 1


async def test_lookups_all_the_while_cost_no_attempt_more(world: World) -> None:
    attempts = attempts_of(await month(world, also=["8.8.8.8", "9.9.9.9"]))
    assert all(len(times) <= MOST_IN_A_MONTH for times in attempts.values())
    assert len(attempts) == 2


async def test_hopeless_addresses_do_not_keep_new_ones_waiting(world: World) -> None:
    """A thousand hopeless rows, seen long ago; one new address is in the first request of the next run."""
    chance = random.Random(3)
    for number in range(1_000):
        key = f"8.{number // 250}.{number % 250}.1"
        world.store.put_geo(key, last_seen=to_text(world.now - chance.randrange(86_400, 80 * 86_400)))
    world.store.put_geo("9.9.9.9", last_seen=to_text(world.now))
    remote = world.with_remote({str(key): None for key in world.store.geo_cache} | {"9.9.9.9": GERMANY})
    remote.batch_size = 100
    await GeoReResolve(world.store, world.cache, BanWatch(), sleep=asyncio.sleep).run(Run.within(540.0, world.clock))
    assert remote.requests[0][0] == "9.9.9.9"
    seen = [world.store.geo_cache[ip]["last_seen"] for ip in remote.asked]
    assert seen == sorted(seen, key=str, reverse=True)
