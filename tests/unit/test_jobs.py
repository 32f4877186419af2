"""The jobs that flush and clean up: what they change, what they leave, what they say."""

import pytest
from structlog.testing import capture_logs

from bangeod.clock import SECONDS_A_DAY, to_text
from bangeod.errors import StoreError, StoreFullError, StoreLockedError
from bangeod.jobs.ban_watch import BanWatch
from bangeod.jobs.geo_cache_cleanup import GeoCacheCleanup
from bangeod.jobs.geo_cache_flush import GeoCacheFlush
from bangeod.jobs.job import Job, Result, Run
from bangeod.jobs.session_cleanup import SessionCleanup
from tests.support.fakes import GERMANY, Bans, RefusingStore, World

IP, OTHER, THIRD = "8.8.8.8", "9.9.9.9", "1.1.1.1"
DAY = SECONDS_A_DAY
LOCKED = StoreLockedError("memory", "locked", "wait")


@pytest.fixture
def world() -> World:
    return World()


def run_of(world: World, *, dry: bool = False, timeout: float = 60.0) -> Run:
    return Run.within(timeout, world.clock, dry=dry)


@pytest.mark.parametrize(("timeout", "left"), [(60, 58), (540, 538), (10, 9), (0.5, 0.45)])
def test_a_body_has_to_end_a_little_before_its_timeout(world: World, timeout: float, left: float) -> None:
    run = run_of(world, timeout=timeout)
    assert run.time_left() == pytest.approx(left)
    world.clock.advance(left)
    assert run.time_left() <= 1e-9


# --- geo_cache_flush ---


async def test_a_flush_says_what_it_wrote(world: World) -> None:
    world.local.places[IP] = GERMANY
    await world.cache.lookup_batch([IP, OTHER])
    with capture_logs() as lines:
        result = await GeoCacheFlush(world.cache).run(run_of(world))
    assert result == Result({"flushed": 2})
    assert lines == [{"event": "geo_cache_flush_ran", "log_level": "debug", "flushed": 2}]
    assert set(world.store.geo_cache) == {IP, OTHER}


async def test_a_flush_of_nothing_says_nothing(world: World) -> None:
    with capture_logs() as lines:
        assert await GeoCacheFlush(world.cache).run(run_of(world)) == Result({"flushed": 0})
    assert lines == []


async def test_a_flush_that_is_cut_short_keeps_what_it_did(world: World) -> None:
    await world.cache.lookup_batch([IP, OTHER, THIRD])
    assert await GeoCacheFlush(world.cache).run(run_of(world, timeout=0)) == Result({"flushed": 2}, finished=False)
    assert await GeoCacheFlush(world.cache).run(run_of(world, timeout=0)) == Result({"flushed": 1}, finished=True)


async def test_a_flush_says_how_many_rows_are_refused() -> None:
    world = World(RefusingStore({IP}))
    await world.cache.lookup_batch([IP, OTHER])
    result = await GeoCacheFlush(world.cache).run(run_of(world))
    assert result.figures == {"flushed": 1, "refused": 1}


async def test_a_dry_flush_changes_nothing(world: World) -> None:
    await world.cache.lookup_batch([IP, OTHER])
    with capture_logs() as lines:
        assert await GeoCacheFlush(world.cache).run(run_of(world, dry=True)) == Result({"would_flush": 2})
    assert (world.cache.dirty, world.store.geo_cache, lines) == (2, {}, [])


# --- geo_cache_cleanup ---


def cleanup(world: World, bans: Bans | None = None, *, max_rows: int = 0) -> GeoCacheCleanup:
    return GeoCacheCleanup(world.store, world.cache, BanWatch(lambda: bans), retention_days=90, max_rows=max_rows)


def put(world: World, key: str, days: float) -> None:
    world.store.put_geo(key, country_code="DE", last_seen=to_text(world.now - int(days * DAY)))


async def test_rows_seen_before_the_retention_go_and_leave_memory(world: World) -> None:
    put(world, IP, 90.001)
    put(world, "::ffff:1.1.1.1", 91)
    put(world, OTHER, 90)
    await world.cache.load_from_db()
    with capture_logs() as lines:
        result = await cleanup(world).run(run_of(world))
    assert list(world.store.geo_cache) == [OTHER]
    assert [world.cache.known(ip) is None for ip in (IP, THIRD, OTHER)] == [True, True, False]
    assert lines == [{"event": "geo_cache_cleanup_ran", "log_level": "info", "deleted": 2, "retention_days": 90}]
    assert result.finished
    assert (result.figures["deleted"], result.figures["unreadable"]) == (2, 0)
    assert "free_pages" in result.figures


async def test_a_cleanup_that_deletes_nothing_says_so_quietly(world: World) -> None:
    put(world, IP, 1)
    with capture_logs() as lines:
        await cleanup(world).run(run_of(world))
    assert lines == [{"event": "geo_cache_cleanup_ran", "log_level": "debug", "deleted": 0, "retention_days": 90}]


async def test_rows_of_banned_addresses_stay_under_any_spelling(world: World) -> None:
    put(world, IP, 100)
    put(world, "::ffff:9.9.9.9", 100)
    put(world, THIRD, 100)
    await cleanup(world, Bans(IP, OTHER)).run(run_of(world))
    assert set(world.store.geo_cache) == {IP, "::ffff:9.9.9.9"}


async def test_banned_addresses_that_memory_holds_are_seen(world: World) -> None:
    put(world, IP, 100)
    await world.cache.load_from_db()
    await cleanup(world, Bans(IP)).run(run_of(world))
    assert world.store.geo_cache[IP]["last_seen"] == to_text(world.now)


async def test_bans_that_cannot_be_read_do_not_stop_the_cleanup(world: World) -> None:
    put(world, IP, 100)
    bans = Bans(error=StoreError("/f2b", "can't be read", "setfacl"))
    with capture_logs() as lines:
        await cleanup(world, bans).run(run_of(world))
    assert world.store.geo_cache == {}
    assert [line["event"] for line in lines] == ["fail2ban_unreadable", "geo_cache_cleanup_ran"]


async def test_what_was_looked_up_since_the_last_flush_is_not_stale(world: World) -> None:
    world.store.put_geo(IP, country_code="DE", last_seen=to_text(world.now - 100 * DAY), org="the web app's")
    await world.cache.lookup(IP)
    await cleanup(world).run(run_of(world))
    assert world.store.geo_cache[IP]["org"] == "the web app's"


async def test_rows_that_the_database_refuses_do_not_stop_the_cleanup() -> None:
    refused = [f"8.8.8.{i}" for i in range(30)]
    world = World(RefusingStore(refused))
    await world.cache.lookup_batch(refused)
    put(world, OTHER, 100)
    await cleanup(world).run(run_of(world))
    assert world.store.geo_cache == {}


async def test_rows_whose_time_cannot_be_read_stay_and_are_said_once(world: World) -> None:
    for key, value in ((IP, "yesterday"), (OTHER, "2024-02-30 00:00:00"), (THIRD, None)):
        world.store.put_geo(key, last_seen=value)
    with capture_logs() as lines:
        result = await cleanup(world).run(run_of(world))
    assert len(world.store.geo_cache) == 3
    assert result.figures["unreadable"] == 3
    assert [line for line in lines if line["log_level"] == "warning"] == [
        {
            "event": "unreadable_times_kept",
            "log_level": "warning",
            "table": "geo_cache",
            "column": "last_seen",
            "rows": 3,
            "example": "'yesterday'",
        }
    ]


async def test_above_the_cap_the_oldest_rows_go_and_banned_ones_last(world: World) -> None:
    for days, key in enumerate((IP, OTHER, THIRD, "1.0.0.1")):
        put(world, key, days)
    await cleanup(world, Bans("1.0.0.1"), max_rows=2).run(run_of(world))
    assert set(world.store.geo_cache) == {IP, "1.0.0.1"}


async def test_a_cleanup_whose_time_is_up_keeps_what_it_did(world: World) -> None:
    for i in range(9):
        put(world, f"8.8.8.{i}", 100)
    with capture_logs() as lines:
        result = await cleanup(world).run(run_of(world, timeout=0))
    assert not result.finished
    assert result.figures == {"deleted": 3, "unreadable": 0, "retention_days": 90}
    assert len(world.store.geo_cache) == 6
    assert lines[0]["deleted"] == 3


async def test_a_cleanup_that_fails_midway_is_done_by_the_next_run(world: World) -> None:
    for i in range(9):
        put(world, f"8.8.8.{i}", 100)
    world.store.fail_next(LOCKED, after=1)
    with pytest.raises(StoreLockedError):
        await cleanup(world).run(run_of(world))
    assert len(world.store.geo_cache) == 6
    await cleanup(world).run(run_of(world))
    assert world.store.geo_cache == {}


async def test_tidying_up_that_meets_a_lock_is_no_failure(world: World) -> None:
    put(world, IP, 100)
    world.store.fail_next(LOCKED, after=1)
    result = await cleanup(world).run(run_of(world))
    assert result.finished
    assert "free_pages" not in result.figures


async def test_tidying_up_that_meets_a_full_disk_is_one(world: World) -> None:
    put(world, IP, 100)
    world.store.fail_next(StoreFullError("memory", "full", "make room"), after=1)
    with pytest.raises(StoreFullError):
        await cleanup(world).run(run_of(world))


async def test_a_dry_cleanup_changes_nothing(world: World) -> None:
    put(world, IP, 100)
    put(world, OTHER, 100)
    put(world, THIRD, 1)
    world.store.put_geo("1.0.0.1", last_seen="yesterday")
    await world.cache.load_from_db()
    before = {key: dict(row) for key, row in world.store.geo_cache.items()}
    with capture_logs() as lines:
        result = await cleanup(world, Bans(OTHER), max_rows=2).run(run_of(world, dry=True))
    assert result == Result({"would_delete": 2, "unreadable": 1, "retention_days": 90})
    assert (world.store.geo_cache, world.cache.dirty, world.cache.entries, lines) == (before, 0, 4, [])


# --- session_cleanup ---


async def test_sessions_go_at_the_second_they_expire(world: World) -> None:
    for seconds in (-1, 0, 1):
        world.store.put_session(to_text(world.now + seconds))
    with capture_logs() as lines:
        result = await SessionCleanup(world.store).run(run_of(world))
    assert [row["expires_at"] for row in world.store.sessions.values()] == [to_text(world.now + 1)]
    cutoff = to_text(world.now)
    assert lines == [
        {"event": "session_cleanup_ran", "log_level": "info", "deleted_count": 2, "cutoff_time": cutoff},
    ]
    assert result.figures == {"deleted_count": 2, "unreadable": 0, "cutoff_time": cutoff}


async def test_a_cleanup_of_no_sessions_is_said_too(world: World) -> None:
    with capture_logs() as lines:
        await SessionCleanup(world.store).run(run_of(world))
    assert [(line["event"], line["log_level"], line["deleted_count"]) for line in lines] == [
        ("session_cleanup_ran", "info", 0)
    ]


async def test_sessions_whose_end_cannot_be_read_stay_and_are_said_once(world: World) -> None:
    for value in ("now", "12:00:00", "2001-01-01", None):
        world.store.put_session(value)
    with capture_logs() as lines:
        await SessionCleanup(world.store).run(run_of(world))
    assert len(world.store.sessions) == 4
    warnings = [line for line in lines if line["log_level"] == "warning"]
    assert [(line["event"], line["rows"], line["table"], line["column"]) for line in warnings] == [
        ("unreadable_times_kept", 4, "sessions", "expires_at")
    ]


async def test_a_session_cleanup_whose_time_is_up_keeps_what_it_did(world: World) -> None:
    for _ in range(7):
        world.store.put_session("2001-01-01T00:00:00Z")
    result = await SessionCleanup(world.store).run(run_of(world, timeout=0))
    assert (result.finished, result.figures["deleted_count"]) == (False, 3)
    assert len(world.store.sessions) == 4
    assert (await SessionCleanup(world.store).run(run_of(world))).figures["deleted_count"] == 4


async def test_a_dry_session_cleanup_changes_nothing(world: World) -> None:
    world.store.put_session("2001-01-01T00:00:00Z")
    world.store.put_session("now")
    with capture_logs() as lines:
        result = await SessionCleanup(world.store).run(run_of(world, dry=True))
    assert result.figures == {"would_delete": 1, "unreadable": 1, "cutoff_time": to_text(world.now)}
    assert (len(world.store.sessions), lines) == (2, [])


@pytest.mark.parametrize("job", ["flush", "cleanup", "sessions"])
async def test_a_second_run_finds_nothing_left_to_do(world: World, job: str) -> None:
    await world.cache.lookup(IP)
    put(world, OTHER, 100)
    world.store.put_session("2001-01-01T00:00:00Z")
    jobs: dict[str, Job] = {
        "flush": GeoCacheFlush(world.cache),
        "cleanup": cleanup(world),
        "sessions": SessionCleanup(world.store),
    }
    await jobs[job].run(run_of(world))
    after = {key: dict(row) for key, row in world.store.geo_cache.items()}, dict(world.store.sessions)
    await jobs[job].run(run_of(world))
    assert ({key: dict(row) for key, row in world.store.geo_cache.items()}, world.store.sessions) == after
