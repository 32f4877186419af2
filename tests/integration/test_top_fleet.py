"""Two hosts, each with its fail2ban and its daemon, and what ``bangeod top`` says of both, with and without one."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bangeod.clock import SystemClock
from bangeod.config import load
from bangeod.service.components import Components
from bangeod.service.database import lock_of
from bangeod.service.fleet_bans import FleetBanCounts
from bangeod.service.settings_in_force import SettingsInForce
from tests.conftest import Start
from tests.integration.test_top import OPEN, figures, top
from tests.support.daemon.installation import Installation, make_fail2ban
from tests.support.daemon.process import bangeod
from tests.support.servers import postgres_fleet
from tests.support.servers.postgres_fleet import FleetTables

README = Path(__file__).resolve().parents[2] / "README.md"
HERE = ["8.8.8.8", "1.1.1.1", "9.9.9.9", "10.1.2.3", "7.7.0.0/16"]
THERE = ["8.8.8.8", "6.6.6.6"]
QUIET = {"jobs.geo_re_resolve.enabled": False, "geo.embedded": False}


@pytest.fixture(scope="module")
def database() -> Iterator[FleetTables]:
    with postgres_fleet.made(2) as tables:
        yield tables


@pytest.fixture
def tables(database: FleetTables) -> FleetTables:
    database.empty()
    return database


def member(home: Path, tables: FleetTables, number: int, *banned: str) -> Installation:
    """Make a host of the fleet, with a role of its own; ``banned`` are banned on it for good."""
    place = Installation(home)
    place.make()
    url = f"postgresql://{tables.roles[number]}@/{tables.database}?host={tables.server.home}"
    fail2ban = make_fail2ban(place.home / "fail2ban.sqlite3", *banned)
    fleet = {"fleet.url": url, "fleet.host": f"web{number}", "fail2ban.database": str(fail2ban)}
    place.configure(fleet, OPEN, QUIET)
    return place


@pytest.fixture
def places(tmp_path: Path, tables: FleetTables) -> tuple[Installation, Installation]:
    places = member(tmp_path / "first", tables, 0, *HERE), member(tmp_path / "second", tables, 1, *THERE)
    places[0].insert(rows=[("8.8.8.8", "US", None), ("1.1.1.1", "AU", None)])
    return places


def told(launch: Start, *places: Installation) -> None:
    """Run a daemon on each host until it has told of its bans, and let it run."""
    for place in places:
        launch(place.config).wait_for("fleet_bans_told")


def test_what_all_hosts_ban_is_counted_once_by_country_and_for_each_by_host(
    launch: Start, places: tuple[Installation, Installation], tables: FleetTables
) -> None:
    told(launch, *places)
    tables.sql(
        "INSERT INTO bangeod.geo (ip, writer, country_code, origin, resolved_at, last_seen)"
        " VALUES ('6.6.6.6', %s, 'US', 'mmdb', now(), now())",
        tables.roles[1],
    )
    questions = {
        ("--banned",): {"US": 2, "AU": 1, "unknown": 1, "not_routable": 1, "banned_networks": 1},
        ("--banned", "--here"): {"US": 1, "AU": 1, "unknown": 1, "not_routable": 1, "banned_networks": 1},
        ("hosts",): {"web0": 4, "web1": 2, "banned_networks": 1},
        ("hosts", "--limit", "1"): {"web0": 4, "in_other_groups": 2, "banned_networks": 1},
    }
    beside = {question: top(places[0], *question) for question in questions}
    assert {question: figures_of(answer) for question, answer in beside.items()} == questions
    assert [answer["hosts"] for answer in beside.values()] == [2, None, 2, 2]
    places[0].configure({"api.enabled": False})
    assert {question: top(places[0], *question) for question in questions} == beside  # without a daemon


def figures_of(told: dict[str, Any]) -> dict[str, int]:
    """Return the figures, of hosts as well."""
    groups = [group | {"asn": group["host"]} if "host" in group else group for group in told["groups"]]
    rest = {"in_other_groups": told["in_other_groups"]} if told["in_other_groups"] else {}
    complete = told | {"groups": groups, "total": told["total"] - told["in_other_groups"]}
    return figures(complete) | rest


def test_hosts_are_shown_by_name(launch: Start, places: tuple[Installation, Installation], tables: FleetTables) -> None:
    told(launch, *places)
    ran = bangeod("top", "hosts", "--config", str(places[1].config))
    head, _, names, *rows = ran.stdout.splitlines()
    assert head == "6 addresses and 1 network banned now on 2 hosts, by host:"
    assert names.split() == ["LAST", "BAN", "HOST", "ADDRESSES", "SHARE"]
    assert [row.split()[1] for row in rows[:2]] == ["web0", "web1"]
    assert tables.sql("SELECT count(*) FROM bangeod.bans") == [(7,)]


async def test_a_daemons_figures_are_those_of_all_hosts(
    launch: Start, places: tuple[Installation, Installation]
) -> None:
    told(launch, places[1])
    settings = load(places[0].config, {})
    components = Components(SettingsInForce(settings), SystemClock(), lock_of(settings))
    assert components.fleet_bans is not None
    await components.store.prepare()
    await components.fleet_bans.tell()
    await components.fleet_bans.count()
    await components.close()
    assert components.fleet_bans.told_at is not None
    assert components.fleet_bans.counts == FleetBanCounts(
        countries={"US": 1, "AU": 1},
        without_country=3,
        networks=1,
        hosts={"web0": 4, "web1": 2},
        other_hosts=0,
        in_other_hosts=0,
    )


@pytest.mark.parametrize("beside", [False, True])
def test_while_the_server_is_away_this_hosts_bans_are_counted_and_a_note_says_so(
    launch: Start, places: tuple[Installation, Installation], *, beside: bool
) -> None:
    places[0].configure({"fleet.url": "postgresql://nobody@/nowhere?host=/nowhere"})
    if beside:
        launch(places[0].config).wait_for("ready")
    ran = bangeod("top", "--banned", "--config", str(places[0].config))
    assert ran.returncode == 0
    assert ran.stdout.startswith("4 addresses and 1 network banned now, by country:")
    assert "what this host bans counts alone: the fleet can't be asked" in ran.stderr
    hosts = bangeod("top", "hosts", "--config", str(places[0].config))
    assert (hosts.returncode, hosts.stdout) == (1, "")
    assert "no server answers" in hosts.stderr
    assert "Traceback" not in hosts.stderr + ran.stderr


def test_the_readmes_query_says_where_the_attacks_on_all_hosts_come_from(tables: FleetTables) -> None:
    blocks = re.findall(r"```sql\n(.*?)```", README.read_text(), re.DOTALL)
    (query,) = (block for block in blocks if "most_hosts" in block)
    columns = "ip, writer, country_code, origin, resolved_at, last_seen"
    geo = f"INSERT INTO bangeod.geo ({columns}) VALUES (%s, %s, %s, 'mmdb', %s, now())"
    tables.sql(geo, "8.8.8.8", "a", "US", "2026-01-02")
    tables.sql(geo, "8.8.8.8", "b", "DE", "2026-01-01")
    tables.sql(geo, "9.9.9.9", "a", None, "2026-01-01")
    for host, ip, until in (
        ("w1", "8.8.8.8", None),
        ("w2", "8.8.8.8", None),
        ("w1", "9.9.9.9", None),
        ("w1", "7.7.7.7", "2020-01-01"),
    ):
        tables.sql("INSERT INTO bangeod.bans VALUES (%s, 'a', %s, 'sshd', now(), %s)", host, ip, until)
    assert sorted(tables.sql(query)) == [("-", 1, 1), ("US", 1, 2)]
