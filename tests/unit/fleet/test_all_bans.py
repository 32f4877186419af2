"""Who is banned on all hosts: each address once, what no daemon has written not at all, what is over no more."""

from collections.abc import AsyncIterator, Iterator
from contextlib import closing

import pytest
from structlog.testing import capture_logs

from bangeod.errors import StoreError
from bangeod.fleet import all_bans
from bangeod.fleet.all_bans import AllBans, BansByHost
from bangeod.model import Geo
from tests.support.manual_clock import ManualClock
from tests.support.servers import postgres_fleet
from tests.support.servers.postgres_fleet import FleetTables

HOUR, YEARS = "now() + interval '1 hour'", "now() - interval '3 years'"


@pytest.fixture(scope="module")
def database() -> Iterator[FleetTables]:
    with postgres_fleet.made(2) as tables:
        yield tables


@pytest.fixture
def tables(database: FleetTables) -> FleetTables:
    database.empty()
    return database


@pytest.fixture
async def fleet(tables: FleetTables) -> AsyncIterator[AllBans]:
    """Give the first host's view of all of them."""
    fleet = AllBans(tables.session(0), ManualClock())
    yield fleet
    await fleet.close()


def ban(
    tables: FleetTables, host: str, *ips: str, by: int = 1, jail: str = "sshd", since: str = "now()", until: str = HOUR
) -> None:
    """Let a host's role write bans; the times are SQL."""
    with closing(tables.connect(by)) as role:
        statement = f"INSERT INTO bangeod.bans (host, ip, jail, since, until) VALUES (%s, %s, %s, {since}, {until})"
        for ip in ips:
            role.execute(statement, (host, ip, jail))


def tell(tables: FleetTables, host: str, at: str = "now()", by: int = 1) -> None:
    """Let a host say that it tells of its bans."""
    with closing(tables.connect(by)) as role:
        role.execute(f"INSERT INTO bangeod.state (host, name, at) VALUES (%s, 'bans', {at})", (host,))


async def banned(fleet: AllBans, begun: int = 0) -> tuple[list[str], int]:
    addresses: list[str] = []
    networks = 0
    async for some, more in fleet.pages(begun=begun):
        addresses += some
        networks += more
    return addresses, networks


async def by_host(fleet: AllBans, most: int = 10) -> dict[str, tuple[int, int]]:
    return {each.host: (each.addresses, each.networks) for each in (await fleet.by_host(most)).largest}


async def test_an_address_counts_once_and_for_each_host_that_bans_it(tables: FleetTables, fleet: AllBans) -> None:
    ban(tables, "web1", "8.8.8.8", "9.0.0.0/8", "2001:db8::1", by=0)
    ban(tables, "web1", "8.8.8.8", "1.1.1.1", by=0, jail="web")
    ban(tables, "web2", "8.8.8.8", "9.0.0.0/8", "9.9.9.0/24")
    assert await banned(fleet) == (["1.1.1.1", "8.8.8.8", "2001:db8::1"], 2)
    assert await by_host(fleet) == {"web1": (3, 1), "web2": (1, 2)}
    assert (await fleet.by_host(1))[1:] == (2, 4, 3)


async def test_a_fleet_without_bans_has_none(fleet: AllBans) -> None:
    assert await banned(fleet) == ([], 0)
    assert await fleet.by_host(5) == BansByHost([], 0, 0, 0)


async def test_they_come_in_pages(tables: FleetTables, fleet: AllBans, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(all_bans, "PAGE", 3)
    ips = [f"8.8.8.{n}" for n in range(9)]
    ban(tables, "web1", *ips, "8.8.8.0/24", by=0)
    ban(tables, "web2", *ips)
    ban(tables, "web2", *(f"8.8.7.{n}" for n in range(7)), until="now()")  # pages of which nothing counts
    assert await banned(fleet) == (ips, 1)


async def test_a_ban_counts_until_it_ends(tables: FleetTables, fleet: AllBans) -> None:
    ban(tables, "web2", "8.8.8.8", until="now() + interval '1 hour'")
    ban(tables, "web2", "9.9.9.9", since=YEARS, until="now() - interval '1 second'")
    assert await banned(fleet) == (["8.8.8.8"], 0)
    assert await by_host(fleet) == {"web2": (1, 0)}


@pytest.mark.parametrize(
    ("at", "counts"),
    [
        ("now() - interval '23 hours'", True),
        ("now() - interval '25 hours'", False),
        ("'infinity'", False),
        ("'-infinity'", False),
        ("'294276-01-01'", False),
    ],
)
async def test_a_ban_for_good_counts_while_its_host_tells_of_its_bans(
    tables: FleetTables, fleet: AllBans, at: str, counts: bool
) -> None:
    ban(tables, "web2", "8.8.8.8", until="NULL")
    ban(tables, "web2", "9.9.9.9")
    tell(tables, "web2", at)
    tell(tables, "web2", by=0)  # another role can't speak for it
    expected = ["8.8.8.8", "9.9.9.9"] if counts else ["9.9.9.9"]
    assert await banned(fleet) == (expected, 0)
    assert await by_host(fleet) == {"web2": (len(expected), 0)}


async def test_only_what_began_since_may_be_asked_for(tables: FleetTables, fleet: AllBans) -> None:
    ban(tables, "web1", "8.8.8.8", since="'2026-01-02T00:00:00Z'")
    ban(tables, "web2", "9.9.9.9", since="'2026-01-01T00:00:00Z'")
    begun = 1_767_312_000  # 2026-01-02
    assert await banned(fleet, begun) == (["8.8.8.8"], 0)
    assert [each.host for each in (await fleet.by_host(5, begun=begun)).largest] == ["web1"]
    assert (await fleet.by_host(5)).largest[0].newest == begun


async def test_the_hosts_with_the_most_come_first_and_the_others_are_counted(
    tables: FleetTables, fleet: AllBans
) -> None:
    for number in range(30):
        ban(tables, f"host{number:02}", *(f"8.8.8.{n}" for n in range(1 + number % 3)))
    found = await fleet.by_host(2)
    assert [each.host for each in found.largest] == ["host02", "host05"]
    assert found[1:] == (30, 60, 0)


BAD = {
    "no host": ("", "sshd", "now()", HOUR),
    "a host of many characters": ("x" * 10_000, "sshd", "now()", HOUR),
    "a host that moves the cursor": ("\x1b[2Jweb", "sshd", "now()", HOUR),
    "a jail of two lines": ("web2", "ss\nhd", "now()", HOUR),
    "a jail without end": ("web2", "x" * 100_000, "now()", HOUR),
    "begun at infinity": ("web2", "sshd", "'infinity'", HOUR),
    "begun before all times": ("web2", "sshd", "'-infinity'", HOUR),
    "begun before Christ": ("web2", "sshd", "'0044-03-15 BC'", HOUR),
    "begun in the year 10000": ("web2", "sshd", "'10000-01-01'", HOUR),
    "ends at infinity": ("web2", "sshd", "now()", "'infinity'"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_what_no_daemon_writes_is_said_once_and_does_not_count(
    tables: FleetTables, fleet: AllBans, bad: tuple[str, str, str, str]
) -> None:
    host, jail, since, until = bad
    ban(tables, "web1", "9.9.9.9", by=0)
    with closing(tables.connect(1)) as role:
        statement = f"INSERT INTO bangeod.bans (host, ip, jail, since, until) VALUES (%s, %s, %s, {since}, {until})"
        role.execute(statement, (host[:2000], "8.8.8.8", jail[:2000]))
    with capture_logs() as lines:
        assert await banned(fleet) == (["9.9.9.9"], 0)
        assert await by_host(fleet) == {"web1": (1, 0)}
        assert [await fleet.look_for_bad_rows() for _ in range(2)] == [1, 1]
    (line,) = lines
    assert (line["event"], line["log_level"], line["rows"]) == ("fleet_bans_bad", "warning", 1)
    assert line["example_writer"] == tables.roles[1]
    assert line["example_host"].isprintable()
    assert len(line["example_host"]) <= 100


async def test_an_end_in_the_year_10000_is_no_trouble(tables: FleetTables, fleet: AllBans) -> None:
    ban(tables, "web2", "8.8.8.8", until="'294276-01-01'")
    ban(tables, "web2", "9.9.9.9", until="'0044-03-15 BC'")
    assert await banned(fleet) == (["8.8.8.8"], 0)
    assert await fleet.look_for_bad_rows() == 0


async def test_thousands_of_hosts_that_nobody_has_are_counted_and_not_listed(
    tables: FleetTables, fleet: AllBans
) -> None:
    with closing(tables.connect(1)) as role:
        role.execute(
            "INSERT INTO bangeod.bans (host, ip, jail, since, until)"
            f" SELECT 'host' || n, '8.8.8.8', 'sshd', now(), {HOUR} FROM generate_series(1, 5000) AS n"
        )
    found = await fleet.by_host(200)
    assert (len(found.largest), found.hosts, found.addresses) == (200, 5000, 5000)
    assert await banned(fleet) == (["8.8.8.8"], 0)


def put_place(tables: FleetTables, ip: str, code: str | None, asn: str | None, *, by: int, at: str = "now()") -> None:
    with closing(tables.connect(by)) as role:
        columns = "ip, country_code, country_name, asn, org, origin, resolved_at, last_seen"
        values = (ip, code, "A country", asn, "An org")
        statement = f"INSERT INTO bangeod.geo ({columns}) VALUES (%s, %s, %s, %s, %s, 'mmdb', {at}, {at})"
        role.execute(statement, values)


async def test_places_are_this_hosts_own_before_the_newest_of_others(tables: FleetTables, fleet: AllBans) -> None:
    put_place(tables, "8.8.8.8", "US", "AS15169", by=0, at="now() - interval '1 month'")
    put_place(tables, "8.8.8.8", "DE", None, by=1)
    put_place(tables, "2001:db8::1", "DE", None, by=1)
    assert await fleet.places(["8.8.8.8", "2001:db8::1", "9.9.9.9"]) == {
        "8.8.8.8": Geo("US", "A country", "AS15169", "An org"),
        "2001:db8::1": Geo("DE", "A country", None, "An org"),
    }


async def test_a_place_that_no_daemon_writes_is_passed_over_for_anothers(tables: FleetTables, fleet: AllBans) -> None:
    put_place(tables, "8.8.8.8", "de", None, by=0)
    put_place(tables, "8.8.8.8", "DE", None, by=1, at="now() - interval '1 hour'")
    put_place(tables, "9.9.9.9", "DE", None, by=1, at="'infinity'")
    assert await fleet.places(["8.8.8.8", "9.9.9.9"]) == {"8.8.8.8": Geo("DE", "A country", None, "An org")}


async def test_a_server_without_the_tables_is_an_error(tables: FleetTables, fleet: AllBans) -> None:
    tables.sql("ALTER TABLE bangeod.bans RENAME TO away")
    try:
        for question in (fleet.by_host(1), banned(fleet), fleet.look_for_bad_rows()):
            with pytest.raises(StoreError, match=r"bangeod\.bans"):
                await question
    finally:
        tables.sql("ALTER TABLE bangeod.away RENAME TO bans")
