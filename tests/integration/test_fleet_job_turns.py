"""Turns on a real server: daemons that die, tables that are missing or not permitted, rows of others, a pooler."""

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from bangeod.clock import SystemClock
from bangeod.fleet.job_turns import ServerTurns
from bangeod.store.postgres.connection import Conninfo
from tests.support.servers import own_database, pgbouncer
from tests.support.servers.own_database import OwnDatabase
from tests.support.servers.postgres_tables import GEO_CACHE, SESSIONS

JOB = "session_cleanup"


@pytest.fixture
def database() -> Iterator[OwnDatabase]:
    with own_database.made(GEO_CACHE, SESSIONS) as database:
        yield database


def turns(conninfo: Conninfo, *, schema: str | None = None, host: str = "one") -> ServerTurns:
    return ServerTurns(conninfo, SystemClock(), schema=schema, host=host)


async def is_free(each: ServerTurns) -> bool:
    async with each.take(JOB) as turn:
        return turn is not None


async def test_the_turn_of_a_daemon_whose_connection_ends_is_the_next_ones(database: OwnDatabase) -> None:
    one, two = turns(database.conninfo()), turns(database.conninfo())
    async with one.take(JOB) as mine:
        assert mine is not None
        assert not await is_free(two)
        database.end_sessions("to_regclass")
        assert await is_free(two)
        await mine.succeeded(0.0)


async def test_the_tables_of_another_schema_have_turns_of_their_own(database: OwnDatabase) -> None:
    for statement in ("CREATE SCHEMA other", "CREATE TABLE other.sessions (id bigint PRIMARY KEY, expires_at text)"):
        database.admin.execute(statement)
    database.make_fleet()
    async with turns(database.conninfo()).take(JOB) as mine:
        assert mine is not None
        await mine.succeeded(0.0)
        async with turns(database.conninfo(), schema="other").take(JOB) as theirs:
            assert theirs is not None
            assert await theirs.since_success() is None


async def test_without_the_table_or_the_right_to_it_each_daemon_knows_its_own_success_and_keeps_its_turn(
    database: OwnDatabase,
) -> None:
    with database.role("SELECT ON sessions") as role:
        one, two = turns(database.conninfo(role)), turns(database.conninfo(role))
        for has_table in (False, True):
            if has_table:
                database.make_fleet()
            async with one.take(JOB) as mine:
                assert mine is not None
                assert await mine.since_success() is None
                await mine.succeeded(0.0)
                assert not await is_free(two)
    assert database.rows("SELECT 1 FROM bangeod.state") == []


async def test_a_role_that_may_read_alone_heeds_what_others_have_done(database: OwnDatabase) -> None:
    database.make_fleet()
    async with turns(database.conninfo()).take(JOB) as mine:
        assert mine is not None
        await mine.succeeded(0.0)
    grants = ("SELECT ON sessions", "USAGE ON SCHEMA bangeod", "SELECT ON bangeod.state")
    with database.role(*grants) as role:
        async with turns(database.conninfo(role), host="two").take(JOB) as theirs:
            assert theirs is not None
            assert await theirs.since_success() is not None
            await theirs.succeeded(0.0)
    assert database.rows("SELECT host FROM bangeod.state") == [("one",)]


@pytest.mark.parametrize("at", ["infinity", "-infinity", "10000-01-01", "4713-01-01 BC", "1970-01-01"])
async def test_a_time_that_no_daemon_wrote_is_none(database: OwnDatabase, at: str) -> None:
    database.make_fleet()
    async with turns(database.conninfo()).take(JOB) as mine:
        assert mine is not None
        await mine.succeeded(50.0)
        database.admin.execute(
            "INSERT INTO bangeod.state (host, name, at) SELECT 'x', name, %s FROM bangeod.state", (at,)
        )
        assert await mine.since_success() == pytest.approx(50, abs=20)


async def test_without_the_web_apps_tables_there_is_a_turn_all_the_same(database: OwnDatabase) -> None:
    database.make_fleet()
    database.admin.execute("DROP TABLE geo_cache, sessions")
    async with turns(database.conninfo()).take(JOB) as mine:
        assert mine is not None
        assert await mine.since_success() is None


async def test_behind_a_pooler_no_lock_is_left_behind_and_that_is_said_once(database: OwnDatabase) -> None:
    database.make_fleet()
    with pgbouncer.running(database.server) as keywords, capture_logs() as lines:
        each = turns(Conninfo(f"{keywords} dbname={database.name}", "postgresql:///x"))
        async with each.take(JOB) as mine:
            assert mine is not None
            await mine.succeeded(1.0)
            assert await mine.since_success() == pytest.approx(1, abs=20)
            assert await is_free(each)
        assert [line["event"] for line in lines] == ["job_locks_impossible"]
    assert database.rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'") == []
