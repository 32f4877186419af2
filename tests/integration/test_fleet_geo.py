"""Where addresses are, told from host to host through a real PostgreSQL server, each host as a role of its own."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing

import psycopg
import pytest
from structlog.testing import capture_logs

from bangeod.clock import SystemClock
from bangeod.fleet.fleet import Fleet
from bangeod.fleet.geo_tier import GeoTier
from bangeod.model import Geo, Origin
from bangeod.store.postgres import notices
from tests.support.servers import postgres
from tests.support.servers.fleet import FleetDatabase, fleet_database

IP, OTHER, IPV6 = "8.8.8.8", "9.9.9.9", "2a00:1450:4001::1"
GERMANY, FRANCE, JAPAN = Geo("DE", "Germany", "AS64500", "Example"), Geo("FR", "France"), Geo("JP", "Japan")
DAY = 86_400
INSERT = (
    "INSERT INTO bangeod.geo (ip, writer, country_code, country_name, origin, resolved_at, last_seen) VALUES"
    " ('{ip}', '{writer}', '{code}', {name}, '{origin}', {resolved_at}, {last_seen})"
)
USUAL = {
    "writer": "web2",
    "code": "FR",
    "name": "'France'",
    "origin": "mmdb",
    "resolved_at": "now()",
    "last_seen": "now()",
}


class Host:
    """One host's part in the fleet."""

    def __init__(self, database: FleetDatabase, role: str) -> None:
        self.clock = SystemClock()
        self.fleet = Fleet(database.conninfo(role), self.clock, host=role, timeout=5.0)
        self.tier = GeoTier(self.fleet, most_waiting=10_000)

    async def shares(self, *ips: str, geo: Geo = GERMANY, ago: int = 0) -> None:
        at = int(self.clock.now()) - ago
        for ip in ips:
            self.tier.found(ip, geo, Origin.MMDB, last_seen=at, resolved_at=at)
        await self.tier.flush(lambda: math.inf)

    async def close(self) -> None:
        await self.tier.close()
        await self.fleet.close()


@pytest.fixture
def database() -> Iterator[FleetDatabase]:
    with fleet_database(postgres.shared_or_skip()) as database:
        database.make_tables()
        yield database


@pytest.fixture
async def hosts(database: FleetDatabase) -> AsyncIterator[tuple[Host, Host]]:
    first, second = Host(database, "web1"), Host(database, "web2")
    try:
        yield first, second
    finally:
        await first.close()
        await second.close()


def insert(database: FleetDatabase, ip: str = IP, **values: str) -> None:
    database.sql(INSERT.format(**{**USUAL, "ip": ip, **values}))


# Which row counts


async def test_a_hosts_own_row_goes_before_a_newer_one_of_another(hosts: tuple[Host, Host]) -> None:
    first, second = hosts
    await first.shares(IP, geo=GERMANY, ago=100)
    await second.shares(IP, geo=FRANCE)
    assert await first.tier.find([IP]) == {IP: GERMANY}
    assert await second.tier.find([IP]) == {IP: FRANCE}


async def test_of_other_hosts_the_newest_counts_but_none_of_the_future(
    hosts: tuple[Host, Host], database: FleetDatabase
) -> None:
    insert(database, writer="old", code="DE", name="'Germany'", resolved_at="now() - interval '2 days'")
    insert(database, writer="new", code="JP", name="'Japan'", resolved_at="now() - interval '1 day'")
    for number in range(5):
        insert(database, writer=f"future{number}", resolved_at="now() + interval '1 day'")
    assert await hosts[0].tier.find([IP]) == {IP: JAPAN}


async def test_behind_an_odd_row_the_next_one_counts(hosts: tuple[Host, Host], database: FleetDatabase) -> None:
    insert(database, writer="web1", code="jp")
    insert(database, writer="web2", code="ZZ")
    insert(database, writer="old", code="DE", name="'Germany'", resolved_at="now() - interval '2 days'")
    insert(database, writer="new", code="JP", name="'Japan'", resolved_at="now() - interval '1 day'")
    insert(database, ip=OTHER)
    assert await hosts[0].tier.find([IP, OTHER]) == {IP: JAPAN, OTHER: FRANCE}


ODD = {
    "a code in lower case": {"code": "fr"},
    "no country": {"code": "ZZ"},
    "a name with a control character": {"name": "E'Fra\\nnce'"},
    "a name that is too long": {"name": "repeat('x', 5000)"},
    "the embedded default": {"origin": "embedded"},
    "a time in the future": {"resolved_at": "now() + interval '1 hour'"},
    "a time in the future that was seen": {"last_seen": "'9999-12-31'"},
    "infinity": {"resolved_at": "'infinity'"},
    "minus infinity": {"last_seen": "'-infinity'"},
    "BC": {"resolved_at": "'0044-03-15 BC'"},
    "the year 10000": {"last_seen": "'10000-01-01'"},
}


@pytest.mark.parametrize("values", ODD.values(), ids=ODD)
async def test_a_row_that_no_daemon_wrote_is_passed_over_and_kept_and_named_once(
    hosts: tuple[Host, Host], database: FleetDatabase, values: dict[str, str]
) -> None:
    insert(database, **values)
    insert(database, ip=OTHER)
    with capture_logs() as lines:
        for _ in range(2):
            assert await hosts[0].tier.find([IP, OTHER]) == {OTHER: FRANCE}
    (line,) = (line for line in lines if line["log_level"] == "warning")
    assert (line["event"], line["ip"], line["writer"]) == ("fleet_row_odd", IP, "web2")
    assert database.sql("SELECT count(*) FROM bangeod.geo") == [(2,)]


async def test_a_network_in_the_addresses_place_answers_for_none(
    hosts: tuple[Host, Host], database: FleetDatabase
) -> None:
    insert(database, ip="8.8.8.0/24")
    insert(database, ip="::ffff:9.9.9.9")
    assert await hosts[0].tier.find([IP, OTHER]) == {}


# What is written


async def test_what_says_nothing_new_is_not_written(hosts: tuple[Host, Host], database: FleetDatabase) -> None:
    versions = "SELECT xmin, last_seen FROM bangeod.geo"
    await hosts[0].shares(IP, ago=100)
    before = database.sql(versions)
    await hosts[0].shares(IP)
    hosts[0].tier.seen(IP, int(time.time()))
    await hosts[0].tier.flush(lambda: math.inf)
    assert database.sql(versions) == before
    await hosts[0].shares(IP, geo=FRANCE)
    assert database.sql(versions) != before


async def test_a_row_in_use_is_refreshed_once_a_day(hosts: tuple[Host, Host], database: FleetDatabase) -> None:
    first, second = hosts
    await first.shares(IP, ago=3 * DAY)
    before = database.sql("SELECT extract(epoch FROM last_seen)::int FROM bangeod.geo")
    now = int(time.time())
    second.tier.seen(IP, now)
    await second.tier.flush(lambda: math.inf)
    assert database.sql("SELECT extract(epoch FROM last_seen)::int FROM bangeod.geo") == before
    first.tier.seen(IP, now)
    await first.tier.flush(lambda: math.inf)
    assert database.sql("SELECT extract(epoch FROM last_seen)::int FROM bangeod.geo") == [(now,)]


async def test_a_host_whose_clock_is_ahead_writes_no_row_of_the_future(
    hosts: tuple[Host, Host], database: FleetDatabase
) -> None:
    await hosts[0].shares(IP, ago=-10 * DAY)
    assert database.sql("SELECT resolved_at <= now() AND last_seen <= now() FROM bangeod.geo") == [(True,)]
    assert await hosts[1].tier.find([IP]) == {IP: GERMANY}


async def test_an_older_finding_does_not_take_the_place_of_a_newer_one(hosts: tuple[Host, Host]) -> None:
    await hosts[0].shares(IP, geo=FRANCE)
    await hosts[0].shares(IP, geo=GERMANY, ago=100)
    assert await hosts[1].tier.find([IP]) == {IP: FRANCE}


async def test_the_others_are_told_which_addresses_to_read_again_and_nothing_of_where_they_are(
    hosts: tuple[Host, Host], database: FleetDatabase
) -> None:
    ips = [f"2a00:1450:4001:{number:x}::abcd:1234" for number in range(1, 2_001)]
    with closing(database.server.connect(database.name, "web2")) as listening:
        listening.execute("LISTEN bangeod_geo")
        await hosts[0].shares(IP, *ips)
        heard: list[psycopg.Notify] = []
        names: list[str] = []
        for notice in listening.notifies(timeout=20.0):  # how many there are depends on the slices' sizes
            heard.append(notice)
            names += notices.read(notice.payload)
            if len(names) > len(ips):
                break
        assert names == [IP, *ips]
        assert max(len(notice.payload) for notice in heard) < 8_000
        await hosts[0].shares(IP)
        assert list(listening.notifies(timeout=0.1)) == []


async def test_names_with_quotes_and_letters_of_any_kind_arrive_as_they_are(hosts: tuple[Host, Host]) -> None:
    place = Geo("CI", "Côte d'Ivoire", "AS4200000000", 'O"Neill \\ {a,b} 日本 %s')
    await hosts[0].shares(IPV6, geo=place)
    assert await hosts[1].tier.find([IPV6]) == {IPV6: place}


# Whose rows are whose


async def test_a_role_changes_and_deletes_no_row_of_another(hosts: tuple[Host, Host], database: FleetDatabase) -> None:
    await hosts[0].shares(IP)
    assert database.sql("UPDATE bangeod.geo SET country_code = 'XX' RETURNING 1", role="web2") == []
    assert database.sql("DELETE FROM bangeod.geo RETURNING 1", role="web2") == []
    with pytest.raises(psycopg.Error, match="row-level security"):
        database.sql(INSERT.format(**{**USUAL, "ip": OTHER, "writer": "web1"}), role="web2")
    assert await hosts[1].tier.delete_stale(int(time.time()) + DAY, lambda: math.inf) == 0
    assert await hosts[1].tier.find([IP]) == {IP: GERMANY}


async def test_each_host_deletes_its_own_stale_rows(hosts: tuple[Host, Host], database: FleetDatabase) -> None:
    first, second = hosts
    await first.shares(*(f"8.8.{number // 250}.{number % 250}" for number in range(1_500)), ago=10 * DAY)
    await second.shares(IP, ago=10 * DAY)
    await first.shares(OTHER)
    assert await first.tier.delete_stale(int(time.time()) - DAY, lambda: math.inf) == 1_500
    assert database.sql("SELECT host(ip), writer FROM bangeod.geo ORDER BY ip") == [(IP, "web2"), (OTHER, "web1")]


# A server that is away, or refuses


async def test_a_connection_that_was_lost_is_made_again_for_a_lookup(
    hosts: tuple[Host, Host], database: FleetDatabase
) -> None:
    await hosts[0].shares(IP)
    assert await hosts[1].tier.find([IP]) == {IP: GERMANY}
    database.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'web2'")
    assert await hosts[1].tier.find([IP]) == {IP: GERMANY}
    assert hosts[1].fleet.away_since is None


async def test_a_role_without_privileges_is_told_what_to_do(hosts: tuple[Host, Host], database: FleetDatabase) -> None:
    database.sql("REVOKE ALL ON bangeod.geo FROM web1")
    with capture_logs() as lines:
        assert await hosts[0].tier.find([IP]) == {}
        await hosts[0].shares(IP)
    (line,) = (line for line in lines if line["log_level"] == "warning")
    assert (line["event"], line["problem"]) == ("fleet_lost", "not permitted: permission denied for table geo")
    assert "bangeod init --fleet URL --role NAME" in line["advice"]
    assert len(hosts[0].tier.outbox) == 1


async def test_a_database_without_the_tables_is_told_which_command_makes_them(
    hosts: tuple[Host, Host], database: FleetDatabase
) -> None:
    database.sql("DROP SCHEMA bangeod CASCADE")
    with capture_logs() as lines:
        assert await hosts[0].tier.find([IP]) == {}
    (line,) = (line for line in lines if line["event"] == "fleet_lost")
    assert line["advice"].startswith("bangeod init --fleet URL makes the fleet's tables")


async def test_a_lookup_waits_no_longer_than_its_time_for_a_table_that_is_locked(
    hosts: tuple[Host, Host], database: FleetDatabase
) -> None:
    first, second = hosts
    await first.shares(IP)
    await second.tier.find([OTHER])
    second.fleet.limit(timeout=0.05)
    with closing(database.server.connect(database.name)) as admin:
        admin.autocommit = False
        admin.execute("LOCK TABLE bangeod.geo")
        began = time.monotonic()
        assert await second.tier.find([IP]) == {}
        assert time.monotonic() - began < 1.0
        admin.rollback()
    for _ in range(1_000):  # what came too late is there for the next lookup
        if await second.tier.find([IP]):
            return
        await asyncio.sleep(0.005)
    pytest.fail("what came too late never came")
