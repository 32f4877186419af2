"""``bangeod check`` over every state that a database can be in."""

import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from bangeod import countries
from bangeod.check import database
from bangeod.store.sqlite.engine import engine
from bangeod.store.sqlite.schema import GEO_CACHE
from tests.support.daemon.check_command import BAD, GOOD, check, everything_in, only, wrong
from tests.support.daemon.installation import Installation, text


def missing(path: Path) -> None:
    path.unlink()


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_link_to_nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("gone.db"))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(b"\x00\xffno database at all" * 1000)


def truncated(path: Path) -> None:
    os.truncate(path, 4096 + 100)


def sql(*statements: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with contextlib.closing(engine.connect(path, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    return change


BROKEN = [
    pytest.param(missing, "database", "there is no such database", id="missing"),
    pytest.param(a_link_to_nowhere, "database", "there is no such database", id="a link to nowhere"),
    pytest.param(a_directory, "database", "is a directory", id="directory"),
    pytest.param(a_pipe, "database", "is no regular file", id="pipe"),
    pytest.param(empty, "database", "is empty (0 bytes)", id="empty"),
    pytest.param(garbage, "database", "is no SQLite database", id="garbage"),
    pytest.param(truncated, "database", "is no intact SQLite database", id="truncated"),
    pytest.param(sql("DROP TABLE geo_cache"), "schema", "there is no table geo_cache", id="no geo_cache"),
    pytest.param(sql("DROP TABLE sessions"), "schema", "there is no table sessions", id="no sessions"),
    pytest.param(
        sql("ALTER TABLE geo_cache DROP COLUMN country_code"),
        "schema",
        "table geo_cache has no column country_code",
        id="no country_code",
    ),
    pytest.param(
        sql("ALTER TABLE sessions DROP COLUMN expires_at"),
        "schema",
        "table sessions has no column expires_at",
        id="no expires_at",
    ),
    pytest.param(
        sql("ALTER TABLE geo_cache DROP COLUMN last_seen", "ALTER TABLE geo_cache DROP COLUMN cached_at"),
        "schema",
        "table geo_cache has neither a column last_seen nor cached_at",
        id="no times",
    ),
    pytest.param(
        sql("ALTER TABLE geo_cache RENAME TO cache", "CREATE VIEW geo_cache AS SELECT * FROM cache"),
        "schema",
        "geo_cache is a view, not a table",
        id="view",
    ),
    pytest.param(
        sql("DROP TABLE geo_cache", "CREATE TABLE geo_cache (ip TEXT, country_code TEXT, last_seen TEXT, asn, org)"),
        "schema",
        "ON CONFLICT clause does not match",
        id="address not unique",
    ),
    pytest.param(
        sql(
            "ALTER TABLE geo_cache RENAME TO old", GEO_CACHE.replace("org TEXT,", "org TEXT, tenant INTEGER NOT NULL,")
        ),
        "schema",
        "table geo_cache takes no new row: tenant is NOT NULL and has no default",
        id="a column that must be filled",
    ),
    pytest.param(
        sql(
            "DROP TABLE geo_cache",
            GEO_CACHE.replace("country_code TEXT", "country_code TEXT NOT NULL CHECK (country_code GLOB '[A-Z][A-Z]')"),
        ),
        "schema",
        "table geo_cache refuses a new row without a country, and a new row with an AS and no country: "
        "CHECK constraint failed: country_code GLOB '[A-Z][A-Z]'",
        id="a constraint that refuses",
    ),
    pytest.param(
        sql("CREATE TRIGGER t AFTER DELETE ON sessions BEGIN INSERT INTO audit VALUES (old.id); END"),
        "schema",
        "no such table: main.audit",
        id="trigger on a missing table",
    ),
    pytest.param(
        sql("CREATE TABLE grants (t TEXT REFERENCES sessions (created_at))", "CREATE INDEX t ON grants (t)"),
        "schema",
        'foreign key mismatch - "grants" referencing "sessions"',
        id="foreign key to what is not unique",
    ),
]


@pytest.mark.parametrize(("change", "subject", "problem"), BROKEN)
def test_a_broken_database_is_a_fault(
    place: Installation, change: Callable[[Path], None], subject: str, problem: str
) -> None:
    change(place.database)
    before = everything_in(place.home)
    finding = only(check(place, status=BAD), subject)
    assert problem in finding["problem"]
    assert finding["where"] == str(place.database)
    assert everything_in(place.home) == before


def test_both_tables_missing_are_two_faults(place: Installation) -> None:
    sql("DROP TABLE geo_cache", "DROP TABLE sessions")(place.database)
    assert [finding["subject"] for finding in wrong(check(place))] == ["schema", "schema"]


DOUBTFUL = [
    pytest.param(
        sql("ALTER TABLE geo_cache DROP COLUMN asn", "ALTER TABLE geo_cache DROP COLUMN org"),
        "schema",
        "no column asn and no column org",
        id="optional columns",
    ),
    pytest.param(sql("ALTER TABLE geo_cache DROP COLUMN last_seen"), "schema", "rows go by cached_at", id="last_seen"),
    pytest.param(
        sql('CREATE TABLE "my grants" (s REFERENCES sessions (id) ON DELETE CASCADE)'),
        "schema",
        "each row that is deleted from sessions has all of my grants read",
        id="child without an index",
    ),
    pytest.param(
        sql(
            "CREATE TABLE grants (id INTEGER PRIMARY KEY REFERENCES Sessions ON DELETE CASCADE)",
            "CREATE TABLE uses (g INTEGER REFERENCES grants (id))",
        ),
        "schema",
        "each row that is deleted from grants has all of uses read",
        id="grandchild without an index",
    ),
    pytest.param(sql("PRAGMA journal_mode = DELETE"), "database", "journal mode is delete", id="journal mode"),
    pytest.param(
        sql(f"INSERT INTO geo_cache (ip, last_seen) VALUES ('8.8.8.8', '{text(timedelta(days=400))}')"),
        "clock",
        "which is yet to come",
        id="seen in the future",
    ),
    pytest.param(
        sql(f"INSERT INTO geo_cache (ip, last_seen) VALUES ('8.8.8.8', '{text(timedelta(days=-400))}')"),
        "clock",
        "the next geo_cache_cleanup deletes all",
        id="all stale",
    ),
]


@pytest.mark.parametrize(("change", "subject", "problem"), DOUBTFUL)
def test_what_can_be_worked_with_is_a_warning(
    place: Installation, change: Callable[[Path], None], subject: str, problem: str
) -> None:
    change(place.database)
    before = everything_in(place.home)
    finding = only(check(place, status=GOOD), subject, "warning")
    assert problem in finding["problem"]
    assert everything_in(place.home) == before


def test_child_tables_with_an_index_are_as_they_should_be(place: Installation) -> None:
    sql(
        "CREATE TABLE grants (role, s REFERENCES sessions (id), PRIMARY KEY (s, role))",
        "CREATE TABLE seen (ip REFERENCES geo_cache (ip))",
        "CREATE INDEX seen_ip ON seen (ip) WHERE ip IS NOT NULL",
        "CREATE TABLE other (s REFERENCES seen (ip))",
    )(place.database)
    assert wrong(check(place, status=GOOD)) == []


def test_following_the_advice_makes_the_index(place: Installation) -> None:
    sql('CREATE TABLE "my grants" (s REFERENCES sessions (id), "a b")')(place.database)
    mend = only(check(place, status=GOOD), "schema", "warning")["mend"]
    _, path, statement = shlex.split(mend, comments=True)
    sql(statement)(Path(path))
    assert wrong(check(place, status=GOOD)) == []


COUNTRY_OF = GEO_CACHE.replace("country_code TEXT", "country_code TEXT REFERENCES {}")


@pytest.mark.parametrize("reference", ["lands", "Lands (code)"])
def test_a_table_of_countries_that_lacks_some_is_named(place: Installation, reference: str) -> None:
    lands = 'CREATE TABLE lands (name TEXT, "code" TEXT PRIMARY KEY)'
    sql("DROP TABLE geo_cache", lands, COUNTRY_OF.format(reference))(place.database)
    finding = only(check(place, status=BAD), "schema")
    assert "by country_code to table" in finding["problem"]
    assert "which has 250 of 250 countries not (AD, for example)" in finding["problem"]
    every = ", ".join(f"('{code}')" for code in countries.codes() if code != "XK")
    sql(f"INSERT INTO lands (code) VALUES {every}")(place.database)
    finding = only(check(place, status=GOOD), "schema", "warning")
    assert "which has 1 of 250 countries not (XK, for example)" in finding["problem"]
    sql("INSERT INTO lands (code) VALUES ('XK')")(place.database)
    assert wrong(check(place, status=GOOD)) == []


def test_a_locked_database_is_a_fault(place: Installation) -> None:
    sql("PRAGMA journal_mode = DELETE")(place.database)  # in WAL mode readers don't wait for writers
    with place.connection() as web_app:
        web_app.execute("BEGIN EXCLUSIVE")
        finding = only(check(place, status=BAD), "database")
    assert "the database is locked" in finding["problem"]
    assert "fuser -v" in finding["mend"]


def test_a_database_that_a_writer_has_locked_is_read_all_the_same_in_wal_mode(place: Installation) -> None:
    with place.locked():
        assert wrong(check(place, status=GOOD)) == []


def test_a_clock_that_can_not_be_right_is_a_fault() -> None:
    (finding,) = database.clock(3600.0)
    assert (finding.level, finding.subject) == ("fault", "clock")
    assert "1970-01-01T01:00:00Z" in finding.problem


def test_the_standard_librarys_sqlite_sees_the_same(place: Installation) -> None:
    script = """
import sys
sys.modules["pysqlite3"] = sys.modules["sqlcipher3"] = None
from pathlib import Path
from bangeod.store.sqlite.inspection import inspect
look = inspect(Path(sys.argv[1]), now=0, busy_timeout=1)
print(look.journal_mode, look.rows, look.sessions)
"""
    before = everything_in(place.home)
    command = [sys.executable, "-c", script, str(place.database)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert result.stdout == "wal 0 0\n"
    assert everything_in(place.home) == before
