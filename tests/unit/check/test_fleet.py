"""What ``bangeod check`` says of a fleet, from what was seen on its server."""

from typing import Any

import pytest

from bangeod.check import fleet
from bangeod.check.finding import Finding, Level
from bangeod.config import Settings
from bangeod.fleet import statements
from bangeod.fleet.inspection import PRIVILEGES, Look, TableSeen, columns

WHERE = "postgresql://web1@/fleet"
TABLES = [
    TableSeen(name, True, "admin", False, True, True, 1_234, frozenset(PRIVILEGES), frozenset(columns(name)))
    for name in statements.TABLES
]
GOOD = Look("15.18", "web1", False, False, False, False, False, False, "fleet", "admin", True, False, TABLES)


def with_geo(**changes: Any) -> Look:
    tables = [table._replace(**changes) if table.name == "geo" else table for table in TABLES]
    return GOOD._replace(tables=tables)


def only(look: Look) -> Finding:
    found = [finding for finding in fleet.judge(WHERE, look) if finding.level is not Level.OK]
    assert len(found) == 1, found
    assert found[0].mend
    return found[0]


def test_a_fleet_in_which_all_is_well_is_told_with_its_version_and_role() -> None:
    assert [(found.level, found.where, found.problem) for found in fleet.judge(WHERE, GOOD)] == [
        (Level.OK, WHERE, "PostgreSQL 15.18, as role web1, some 1,234 rows of addresses")
    ]


def test_a_host_in_no_fleet_is_not_told_of_one() -> None:
    assert list(fleet.examine(Settings())) == []


@pytest.mark.parametrize(
    ("look", "level", "words"),
    [
        (GOOD._replace(is_standby=True), Level.FAULT, "is a standby (in recovery)"),
        (GOOD._replace(is_read_only=True), Level.FAULT, "is read-only"),
        (GOOD._replace(tables=[]), Level.FAULT, "there is no table bangeod.geo, bangeod.bans, bangeod.claims"),
        (GOOD._replace(may_enter=False), Level.FAULT, "role web1 may not use schema bangeod"),
        (with_geo(granted=frozenset({"SELECT"})), Level.FAULT, "role web1 lacks INSERT, UPDATE, DELETE on bangeod.geo"),
        (with_geo(columns=frozenset({"ip inet"})), Level.FAULT, "it has no column writer name"),
        (with_geo(is_table=False), Level.FAULT, "bangeod.geo is no table"),
        (with_geo(is_secured=False), Level.WARNING, "row-level security is off of table bangeod.geo"),
        (with_geo(is_own=True, secures_owner=False), Level.WARNING, "role web1 owns it, table bangeod.geo"),
        (GOOD._replace(is_superuser=True), Level.WARNING, "role web1 is a superuser"),
        (GOOD._replace(bypasses_security=True), Level.WARNING, "passes by row-level security"),
        (GOOD._replace(is_pooled=True), Level.WARNING, "a pooler"),
    ],
)
def test_what_is_wrong_is_named_with_what_mends_it(look: Look, level: Level, words: str) -> None:
    finding = only(look)
    assert (finding.level, finding.subject, finding.where) == (level, "fleet", WHERE)
    assert words in finding.problem


def test_columns_that_a_newer_bangeod_added_are_no_fault() -> None:
    assert {found.level for found in fleet.judge(WHERE, with_geo(columns=TABLES[0].columns | {"more text"}))} == {
        Level.OK
    }
