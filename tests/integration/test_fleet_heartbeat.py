"""Daemons that say on a real server that they are there: who is counted, whose clock differs, what is removed."""

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from bangeod.clock import Clock, SystemClock
from bangeod.fleet.heartbeat import Heartbeat
from bangeod.store.postgres.session import Session
from tests.support.manual_clock import ManualClock
from tests.support.servers import own_database
from tests.support.servers.own_database import OwnDatabase


@pytest.fixture
def database() -> Iterator[OwnDatabase]:
    with own_database.made() as database:
        yield database


def heart(database: OwnDatabase, host: str = "one", instance: str = "a", clock: Clock | None = None) -> Heartbeat:
    clock = clock or SystemClock()
    session = Session(database.conninfo(), clock, schema=None, lock_timeout=5.0)
    return Heartbeat(session, clock, host=host, instance=instance)


def names(database: OwnDatabase) -> list[tuple[str, str]]:
    return database.rows("SELECT host, name FROM bangeod.state ORDER BY host, name")


async def test_each_daemon_that_was_there_within_a_minute_is_counted(database: OwnDatabase) -> None:
    database.make_fleet()
    hearts = [heart(database), heart(database, instance="b"), heart(database, host="two")]
    counts = []
    for each in hearts:
        await each.beat()
        assert each.present is not None
        counts.append(each.present.daemons)
    assert counts == [1, 2, 3]
    database.admin.execute("UPDATE bangeod.state SET at = at - INTERVAL '61 seconds' WHERE host = 'two'")
    await hearts[0].beat()
    assert hearts[0].present is not None
    assert hearts[0].present.daemons == 2
    for each in hearts:
        await each.leave()
    assert names(database) == []


async def test_a_host_whose_clock_differs_is_named_once_and_its_end_too(database: OwnDatabase) -> None:
    database.make_fleet()
    wrong = ManualClock(now=SystemClock().now() + 3_600)
    one, two = heart(database), heart(database, host="two", clock=wrong)
    with capture_logs() as lines:
        for each in (two, one, one):
            await each.beat()
        assert one.present is not None
        assert one.present.clocks == {"two": pytest.approx(3_600, abs=20)}
        await two.leave()
        await one.beat()
        assert one.present.clocks == {}
    said = [(line["event"], line["log_level"]) for line in lines]
    assert said == [
        ("clocks_differ", "warning"),
        ("clocks_differ", "warning"),
        ("clocks_differ", "debug"),
        ("clocks_agree", "info"),
    ]
    await one.leave()


async def test_rows_that_no_daemon_wrote_are_no_daemons(database: OwnDatabase) -> None:
    database.make_fleet()
    for name, at, value in (
        ("daemon x", "'infinity'", "1"),
        ("daemon y", "now() + INTERVAL '1 day'", "1"),
        ("job x", "now()", "1"),
    ):
        database.admin.execute(f"INSERT INTO bangeod.state VALUES ('x', DEFAULT, '{name}', {at}, '{value}')")
    for number, said in enumerate((None, "soon", "nan", "inf")):
        database.admin.execute(
            "INSERT INTO bangeod.state VALUES (%s, DEFAULT, 'daemon z', now(), %s)", (f"host {number}", said)
        )
    each = heart(database)
    await each.beat()
    assert each.present is not None
    assert (each.present.daemons, each.present.clocks) == (5, {})
    await each.leave()


async def test_rows_of_daemons_that_are_gone_for_a_day_are_removed_once(database: OwnDatabase) -> None:
    database.make_fleet()
    for ago in ("2 days", "2 hours"):
        database.admin.execute(
            f"INSERT INTO bangeod.state VALUES ('old', DEFAULT, 'daemon {ago}', now() - INTERVAL '{ago}', '1')"
        )
    each = heart(database)
    await each.beat()
    assert names(database) == [("old", "daemon 2 hours"), ("one", "daemon a")]
    await each.leave()


async def test_without_the_table_or_the_server_nobody_is_known_and_nothing_fails(database: OwnDatabase) -> None:
    each, counts = heart(database), []
    for change in (lambda: None, database.make_fleet, lambda: database.admin.execute("DROP TABLE bangeod.state")):
        change()
        await each.beat()
        counts.append(each.present and each.present.daemons)
    assert counts == [None, 1, None]
    await each.leave()
