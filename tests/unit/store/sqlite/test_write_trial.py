"""What a table would refuse is known beforehand, and nothing of the database is touched to find out."""

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from bangeod.store.sqlite import write_trial
from bangeod.store.sqlite.columns import Table
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.schema import GEO_CACHE, SESSIONS
from bangeod.store.sqlite.store import look_at_tables

if TYPE_CHECKING:
    from sqlite3 import Connection


@pytest.fixture
def connection() -> Iterator["Connection"]:
    with closing(engine.connect(":memory:", isolation_level=None)) as connection:
        connection.execute(SESSIONS)
        yield connection


def tried(connection: "Connection") -> list[write_trial.NotTaken]:
    _, tables = look_at_tables(connection, None)
    assert tables is not None
    table = tables["geo_cache"]
    assert isinstance(table, Table)
    return write_trial.what_is_refused(connection, table)


@pytest.mark.parametrize("options", ["", " WITHOUT ROWID"])
@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le"])
def test_the_web_apps_own_table_refuses_nothing_and_stays_empty(encoding: str, options: str) -> None:
    with closing(engine.connect(":memory:", isolation_level=None)) as connection:
        connection.execute(f"PRAGMA encoding = '{encoding}'")
        connection.execute(GEO_CACHE + options)
        connection.execute(SESSIONS)
        connection.execute("CREATE TABLE log (ip TEXT)")
        connection.execute("CREATE TRIGGER t AFTER INSERT ON geo_cache BEGIN INSERT INTO log VALUES (new.ip); END")
        assert tried(connection) == []
        assert connection.execute("SELECT count(*) FROM geo_cache").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM log").fetchone() == (0,)


@pytest.mark.parametrize(
    ("column", "declared", "what", "problem"),
    [
        ("country_code", "TEXT CHECK (country_code != '')", "without a country", None),
        ("country_code", "TEXT NOT NULL CHECK (length(country_code) = 2)", "without a country", "CHECK constraint"),
        ("asn", "TEXT CHECK (asn NOT LIKE 'AS%')", "with a country", "CHECK constraint"),
        ("org", "TEXT UNIQUE NOT NULL", "", None),
        ("ip", "TEXT PRIMARY KEY CHECK (ip NOT LIKE '%:%')", "of an IPv6 address", "CHECK constraint"),
        ("cached_at", "TEXT CHECK (last_seen <= cached_at)", "", None),
    ],
)
def test_a_constraint_that_refuses_is_named(
    connection: "Connection", column: str, declared: str, what: str, problem: str | None
) -> None:
    lines = [f"{column} {declared}," if line.split()[0] == column else line for line in GEO_CACHE.splitlines()]
    connection.execute("\n".join(lines))
    refusals = tried(connection)
    if problem is None:
        assert refusals == []
    else:
        assert any(what in refusal.what and problem in refusal.problem for refusal in refusals)


def test_a_trigger_that_refuses_is_told_apart(connection: "Connection") -> None:
    connection.execute(GEO_CACHE)
    connection.execute(
        "CREATE TRIGGER t BEFORE UPDATE ON geo_cache BEGIN SELECT RAISE(ABORT, 'rows are for ever'); END"
    )
    assert tried(connection) == [write_trial.NotTaken("a country in a row that had none", "rows are for ever", True)]


def test_what_can_not_be_copied_is_not_judged(connection: "Connection") -> None:
    connection.execute("CREATE VIRTUAL TABLE words USING fts5(word)")
    connection.execute(GEO_CACHE)
    assert tried(connection) == []
