"""The cleanups where the database does not let rows go: the rest goes, and what stays is counted and said."""

from collections.abc import Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from bangeod.jobs.ban_watch import BanWatch
from bangeod.jobs.cleanup import ON_REFUSAL
from bangeod.jobs.geo_cache_cleanup import GeoCacheCleanup
from bangeod.jobs.job import Job, Run
from bangeod.jobs.session_cleanup import SessionCleanup
from tests.support.fakes import World

OLD = "2001-01-01T00:00:00Z"


@pytest.fixture
def world() -> World:
    return World()


async def run(world: World, job: Job, *, dry: bool = False) -> tuple[Mapping[str, object], list[dict[str, Any]]]:
    """Run a job; return its figures and its warnings."""
    with capture_logs() as lines:
        result = await job.run(Run.within(60, world.clock, dry=dry))
    assert result.finished
    return result.figures, [dict(line) for line in lines if line["log_level"] == "warning"]


def geo_cleanup(world: World) -> GeoCacheCleanup:
    return GeoCacheCleanup(world.store, world.cache, BanWatch(), retention_days=90, max_rows=0)


async def test_a_row_that_stays_in_the_table_stays_in_memory(world: World) -> None:
    for ip in ("8.8.8.8", "9.9.9.9"):
        world.store.put_geo(ip, country_code="DE", last_seen=OLD)
    world.store.held_back["8.8.8.8"] = "pinned rows stay"
    await world.cache.load_from_db()
    figures, warnings = await run(world, geo_cleanup(world))
    assert (figures["deleted"], figures["refused"]) == (1, 1)
    assert [world.cache.known(ip) is None for ip in ("8.8.8.8", "9.9.9.9")] == [False, True]
    assert warnings == [
        {
            "event": "rows_not_deleted",
            "log_level": "warning",
            "table": "geo_cache",
            "rows": 1,
            "example": "8.8.8.8",
            "problem": "pinned rows stay",
            "advice": ON_REFUSAL,
        }
    ]


async def test_sessions_that_stay_are_counted_and_said_once(world: World) -> None:
    numbers = [world.store.put_session(OLD) for _ in range(9)]
    for number in numbers[2:6]:
        world.store.held_back[number] = "FOREIGN KEY constraint failed"
    figures, warnings = await run(world, SessionCleanup(world.store))
    assert (figures["deleted_count"], figures["refused"]) == (5, 4)
    assert [(line["event"], line["rows"], line["example"]) for line in warnings] == [
        ("rows_not_deleted", 4, f"id = {numbers[2]}")
    ]
    assert list(world.store.sessions) == numbers[2:6]


async def test_a_figure_of_refused_rows_is_there_only_where_there_are_any(world: World) -> None:
    world.store.put_session(OLD)
    world.store.put_geo("8.8.8.8", last_seen=OLD)
    for job in (SessionCleanup(world.store), geo_cleanup(world)):
        figures, warnings = await run(world, job)
        assert ("refused" in figures, warnings) == (False, [])


async def test_a_dry_run_does_not_guess(world: World) -> None:
    world.store.held_back[world.store.put_session(OLD)] = "stays"
    figures, warnings = await run(world, SessionCleanup(world.store), dry=True)
    assert (figures["would_delete"], "refused" in figures, warnings) == (1, False, [])
