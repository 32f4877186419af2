"""``bangeod init --fleet`` and ``bangeod check`` of a fleet on a real PostgreSQL server, as roles that own nothing."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bangeod.config import load
from bangeod.fleet import statements
from bangeod.fleet.inspection import columns
from tests.support.daemon.check_command import BAD, GOOD, check, only, wrong
from tests.support.daemon.installation import Installation
from tests.support.daemon.process import bangeod
from tests.support.servers import pgbouncer, postgres
from tests.support.servers.fleet import FleetDatabase, fleet_database

COLUMNS = (
    "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'bangeod'"
    " ORDER BY table_name, ordinal_position"
)


@pytest.fixture
def fleet() -> Iterator[FleetDatabase]:
    with fleet_database(postgres.shared_or_skip()) as database:
        yield database


@pytest.fixture
def place(tmp_path: Path, fleet: FleetDatabase) -> Installation:
    """Give an installation with a database of SQLite's, and a fleet."""
    place = Installation(tmp_path / "bangeod")
    place.make()
    place.configure({"fleet.url": fleet.url_of("web1"), "fleet.host": "web1"})
    return place


# init


def test_init_makes_the_tables_and_lets_roles_use_them(fleet: FleetDatabase) -> None:
    url = fleet.url_of(postgres.SUPERUSER)
    first = bangeod("init", "--fleet", url, "--role", "web1", "--role", "web2")
    made = f"Made geo, bans, claims, pauses and state in schema bangeod of {url}."
    assert first.stdout == f"{made} Granted what a host needs there to web1, web2.\n"
    assert first.returncode == 0
    assert {table for table, _ in fleet.sql(COLUMNS)} == set(statements.TABLES)
    for role in ("web1", "web2"):
        for table in statements.TABLES:
            assert fleet.sql(f"SELECT count(*) FROM bangeod.{table}", role=role) == [(0,)]


def test_init_changes_nothing_where_all_is_there_and_may_grant_to_one_more(fleet: FleetDatabase) -> None:
    url = fleet.url_of(postgres.SUPERUSER)
    fleet.make_tables("web1")
    assert "All tables are there already" in (again := bangeod("init", "--fleet", url)).stdout
    assert again.stdout.endswith("Nothing was changed.\n")
    with pytest.raises(psycopg.Error):
        fleet.sql("SELECT FROM bangeod.geo", role="web2")
    assert "Granted what a host needs there to web2" in bangeod("init", "--fleet", url, "--role", "web2").stdout
    fleet.sql("SELECT FROM bangeod.geo", role="web2")


def test_what_init_makes_has_the_columns_that_are_looked_for(fleet: FleetDatabase) -> None:
    fleet.make_tables()
    for table in statements.TABLES:
        there = [name for found, name in fleet.sql(COLUMNS) if found == table]
        assert there == [column.split()[0] for column in columns(table)]


@pytest.mark.parametrize(
    ("before", "role", "arguments", "told"),
    [
        ([], "web1", [], "role web1 may make no schema in database"),
        (["CREATE SCHEMA bangeod"], "web1", [], "role web1 may make no tables in schema bangeod, which role postgres"),
        (
            ["CREATE SCHEMA bangeod", "CREATE TABLE bangeod.bicycles (a int)"],
            None,
            [],
            "with other tables than a fleet",
        ),
        (["CREATE SCHEMA bangeod", "CREATE TABLE bangeod.geo (ip text)"], None, [], "it has no column ip inet, writer"),
        (["CREATE SCHEMA bangeod", "CREATE VIEW bangeod.geo AS SELECT 1 AS ip"], None, [], "bangeod.geo is no table"),
        ([], None, ["--role", 'nobody "at" all'], 'there is no role nobody "at" all on the server'),
    ],
)
def test_init_says_what_is_wrong_and_makes_nothing(
    fleet: FleetDatabase, before: list[str], role: str | None, arguments: list[str], told: str
) -> None:
    if before:
        fleet.sql(*before)
    there = fleet.sql(COLUMNS)
    refused = bangeod("init", "--fleet", fleet.url_of(role or postgres.SUPERUSER), *arguments)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert told in refused.stderr
    assert "Traceback" not in refused.stderr
    assert fleet.sql(COLUMNS) == there


def test_a_role_that_made_no_tables_can_let_nobody_use_them(fleet: FleetDatabase) -> None:
    fleet.make_tables("web1")
    refused = bangeod("init", "--fleet", fleet.url_of("web1"), "--role", "web2")
    assert refused.returncode == 1
    assert "role web1 may not let others use the tables, which role postgres made" in refused.stderr


def test_init_takes_no_password_on_the_command_line() -> None:
    refused = bangeod("init", "--fleet", "postgresql://web1:s3kr3t@/fleet")
    assert refused.returncode == 2
    assert "--fleet: a password on the command line" in refused.stderr
    assert "s3kr3t" not in refused.stderr


def test_two_commands_make_two_hosts_of_a_fleet(fleet: FleetDatabase, tmp_path: Path) -> None:
    url = fleet.url_of(postgres.SUPERUSER)
    for name in ("demo 1", "demo2"):
        made = bangeod("init", str(tmp_path / name), "--fleet", url)
        assert (made.returncode, made.stderr) == (0, "")
    configs = [load(tmp_path / name / "bangeod.toml", {}) for name in ("demo 1", "demo2")]
    assert [str(config.fleet.url) for config in configs] == [url, url]
    assert [config.fleet.host for config in configs] == ["demo-1", "demo2"]


# check


def test_check_says_that_all_is_well_with_a_fleet(place: Installation, fleet: FleetDatabase) -> None:
    fleet.make_tables()
    findings = check(place, status=GOOD)
    assert wrong(findings) == []
    (finding,) = (each for each in findings if each["subject"] == "fleet")
    assert re.fullmatch(r"PostgreSQL \d+\.\d+.*, as role web1.*", finding["problem"])
    assert finding["where"] == fleet.url_of("web1")


def test_check_names_what_is_missing_of_a_fleet(place: Installation, fleet: FleetDatabase) -> None:
    assert "there is no table bangeod.geo" in only(check(place, status=BAD), "fleet")["problem"]
    fleet.make_tables("web2")
    finding = only(check(place, status=BAD), "fleet")
    assert finding["problem"] == "role web1 may not use schema bangeod: nothing is shared"
    assert "--role web1" in finding["mend"]
    fleet.make_tables("web1")
    fleet.sql("REVOKE DELETE ON bangeod.bans FROM web1")
    assert only(check(place, status=BAD), "fleet")["problem"] == "role web1 lacks DELETE on bangeod.bans"


def test_check_warns_where_nothing_keeps_hosts_from_each_others_rows(place: Installation, fleet: FleetDatabase) -> None:
    fleet.make_tables()
    fleet.sql("ALTER TABLE bangeod.geo DISABLE ROW LEVEL SECURITY")
    finding = only(check(place, status=GOOD), "fleet", "warning")
    fleet.sql(finding["mend"])
    assert wrong(check(place, status=GOOD)) == []
    place.configure({"fleet.url": fleet.url_of(postgres.SUPERUSER)})
    assert "is a superuser" in only(check(place, status=GOOD), "fleet", "warning")["problem"]


def test_check_names_a_fleet_that_does_not_answer(place: Installation) -> None:
    place.configure({"fleet.url": "postgresql://web1@/fleet?host=/nowhere"})
    finding = only(check(place, status=BAD), "fleet")
    assert finding["problem"].startswith("no server answers")
    assert "[fleet] url" in finding["mend"]


def test_check_warns_of_a_pooler(place: Installation, fleet: FleetDatabase) -> None:
    fleet.make_tables()
    with pgbouncer.running(fleet.server) as keywords:
        host = keywords.split()[0].removeprefix("host=")
        place.configure({"fleet.url": f"postgresql://{postgres.SUPERUSER}@/{fleet.name}?host={host}&port=6432"})
        assert any("a pooler" in finding["problem"] for finding in wrong(check(place, status=GOOD)))
