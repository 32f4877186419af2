"""What every kind of turns promises: a job runs on one daemon at a time, and a success counts for all."""

from collections.abc import Iterator

import pytest

from bangeod.clock import SystemClock
from bangeod.fleet.job_turns import ServerTurns
from bangeod.jobs.memory_turns import MemoryTurns
from bangeod.jobs.turns import JobTurns
from tests.support.servers import own_database
from tests.support.servers.postgres_tables import GEO_CACHE, SESSIONS

JOB, OTHER = "session_cleanup", "geo_cache_cleanup"
Two = tuple[JobTurns, JobTurns]


@pytest.fixture(params=["memory", "postgres"])
def turns(request: pytest.FixtureRequest) -> Iterator[Two]:
    """Give the turns as two daemons have them."""
    clock = SystemClock()
    if request.param == "memory":
        shared = MemoryTurns(clock)
        yield shared, shared
        return
    with own_database.made(GEO_CACHE, SESSIONS) as database:
        database.make_fleet()
        yield (
            ServerTurns(database.conninfo(), clock, schema=None, host="one"),
            ServerTurns(database.conninfo(), clock, schema="public", host="two"),
        )


async def test_a_turn_that_is_taken_is_nobody_elses_until_its_block_ends(turns: Two) -> None:
    one, two = turns
    async with one.take(JOB) as mine:
        assert mine is not None
        async with two.take(JOB) as theirs:
            assert theirs is None
        async with two.take(JOB) as theirs:
            assert theirs is None
    async with two.take(JOB) as theirs:
        assert theirs is not None


async def test_each_job_has_a_turn_of_its_own(turns: Two) -> None:
    one, two = turns
    async with one.take(JOB) as mine, two.take(OTHER) as theirs:
        assert mine is not None
        assert theirs is not None


async def test_a_turn_ends_with_an_error_too(turns: Two) -> None:
    one, two = turns
    with pytest.raises(LookupError):
        async with one.take(JOB):
            raise LookupError
    async with two.take(JOB) as theirs:
        assert theirs is not None


async def test_a_turn_may_be_let_go_before_its_block_ends(turns: Two) -> None:
    one, two = turns
    async with one.take(JOB) as mine:
        assert mine is not None
        await mine.let_go()
        async with two.take(JOB) as theirs:
            assert theirs is not None
            await mine.let_go()
            async with one.take(JOB) as again:
                assert again is None
            await mine.succeeded(0.0)
            assert await theirs.since_success() is not None


async def test_a_success_is_known_to_all_by_its_age(turns: Two) -> None:
    one, two = turns
    async with one.take(JOB) as mine:
        assert mine is not None
        assert await mine.since_success() is None
        await mine.succeeded(100.0)
    async with two.take(JOB) as theirs, two.take(OTHER) as other:
        assert theirs is not None
        assert other is not None
        assert await theirs.since_success() == pytest.approx(100, abs=20)
        assert await other.since_success() is None
        await theirs.succeeded(3.0)
    async with one.take(JOB) as mine:
        assert mine is not None
        assert await mine.since_success() == pytest.approx(3, abs=20)
