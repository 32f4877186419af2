"""``bangeod init --database`` and ``bangeod check`` on a real PostgreSQL server."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon.check_command import BAD, GOOD, Finding, check, only, wrong
from tests.support.daemon.on_server import ROLE, OnServer, on_server
from tests.support.daemon.process import bangeod
from tests.support.feed import eventually
from tests.support.servers import pgbouncer, postgres

COLUMNS = (
    "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'"
    " ORDER BY table_name, ordinal_position"
)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[OnServer]:
    with on_server(tmp_path / "bangeod", postgres.shared_or_skip()) as place:
        yield place


# init


def test_init_makes_both_tables_and_says_so_once(place: OnServer) -> None:
    url = place.url_of(postgres.SUPERUSER)
    first, second = (bangeod("init", "--database", url) for _ in range(2))
    assert (first.returncode, first.stdout) == (0, f"Made table geo_cache and table sessions in {url}.\n")
    assert (second.returncode, second.stdout) == (0, f"Both tables are there already, in {url}. Nothing was changed.\n")
    made = place.sql(COLUMNS)
    assert [name for table, name, _ in made if table == "sessions"] == ["id", "token", "created_at", "expires_at"]
    assert {kind for _, name, kind in made if name.endswith(("_at", "_seen"))} == {"timestamp with time zone"}


def test_init_leaves_a_table_that_is_there_as_it_is(place: OnServer) -> None:
    place.sql("CREATE TABLE sessions (token text)")
    made = bangeod("init", "--database", place.url_of(postgres.SUPERUSER))
    assert made.stdout.startswith("Made table geo_cache in ")
    assert [name for table, name, _ in place.sql(COLUMNS) if table == "sessions"] == ["token"]


def test_init_makes_no_table_that_would_hide_another_schemas(place: OnServer) -> None:
    place.sql("CREATE SCHEMA app", "CREATE TABLE app.geo_cache (ip text)")
    refused = bangeod("init", "--database", place.url_of(postgres.SUPERUSER))
    assert refused.returncode == 1
    assert "there is a table geo_cache already, in schema app" in refused.stderr
    assert place.sql(COLUMNS) == []
    made = bangeod("init", "--database", place.url_of(postgres.SUPERUSER), "--schema", "app")
    assert made.stdout.startswith("Made table sessions in ")


def test_init_says_what_is_wrong_and_makes_nothing(place: OnServer) -> None:
    superuser = place.url_of(postgres.SUPERUSER)
    for arguments, told in (
        ((superuser, "--schema", "gone"), "there is no schema gone"),
        ((place.url,), f"role {ROLE} may not make tables in schema public"),
        ((superuser.replace(place.name, "gone"),), "there is no such database on the server"),
        ((superuser.replace(str(place.server.home), "/nowhere"),), "no server answers"),
    ):
        refused = bangeod("init", "--database", *arguments)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert told in refused.stderr
        assert "Traceback" not in refused.stderr
    assert place.sql(COLUMNS) == []


# check


def of_database(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding["subject"] in ("database", "schema")]


def test_check_finds_nothing_wrong_where_nothing_is_and_leaves_out_what_is_sqlites(place: OnServer) -> None:
    place.make_tables()
    findings = check(place, status=GOOD)
    assert wrong(findings) == []
    first, *tables = of_database(findings)
    assert re.fullmatch(rf"PostgreSQL \d+\.\d+.*, as role {ROLE}", first["problem"])
    assert [table["problem"].partition(",")[0] for table in tables] == [
        "table public.geo_cache",
        "table public.sessions",
    ]
    assert {finding["where"] for finding in of_database(findings)} == {place.url}
    assert {finding["subject"] for finding in findings}.isdisjoint({"sqlite", "lock"})


def test_check_names_missing_tables_with_the_command_that_makes_them(place: OnServer) -> None:
    findings = wrong(check(place, status=BAD))
    assert [finding["problem"].partition(":")[0] for finding in findings] == [
        "there is no table geo_cache",
        "there is no table sessions",
    ]
    assert all(f"bangeod init --database {place.url}" in finding["mend"] for finding in findings)


def test_check_names_the_schema_in_which_the_tables_are(place: OnServer) -> None:
    place.make_tables()
    place.sql("CREATE SCHEMA app", "ALTER TABLE geo_cache SET SCHEMA app")
    assert only(check(place), "schema")["mend"] == f"GRANT USAGE ON SCHEMA app TO {ROLE}"
    place.sql(f"GRANT USAGE ON SCHEMA app TO {ROLE}")
    assert only(check(place), "schema")["mend"] == '[database] schema = "app"'
    place.sql("ALTER TABLE sessions SET SCHEMA app")
    place.configure({"database.schema": "app"})
    assert wrong(check(place, status=GOOD)) == []


def test_check_names_what_the_role_lacks_and_its_grant_mends_it(place: OnServer) -> None:
    place.make_tables()
    place.sql(f"REVOKE INSERT, DELETE ON geo_cache FROM {ROLE}")
    finding = only(check(place), "schema")
    assert finding["problem"] == f"role {ROLE} lacks INSERT, DELETE on table public.geo_cache"
    place.sql(finding["mend"])
    assert wrong(check(place, status=GOOD)) == []


def test_check_names_columns_that_the_jobs_can_not_work_with(place: OnServer) -> None:
    place.make_tables()
    place.sql("ALTER TABLE sessions DROP COLUMN expires_at")
    finding = only(check(place), "schema")
    assert "expires_at" in finding["problem"]
    assert finding["problem"].endswith("expired sessions stay")


def test_check_warns_of_times_that_are_none(place: OnServer) -> None:
    place.make_tables()
    place.sql("ALTER TABLE sessions ALTER expires_at TYPE text", "INSERT INTO sessions (expires_at) VALUES ('soon')")
    assert "has 1 row whose time is none, for example 'soon'" in only(check(place), "schema", "warning")["problem"]


def test_check_warns_of_row_level_security_that_holds_for_the_role(place: OnServer) -> None:
    place.make_tables()
    place.sql("ALTER TABLE geo_cache ENABLE ROW LEVEL SECURITY")
    assert "row-level security" in only(check(place), "schema", "warning")["problem"]


def test_check_names_a_database_that_takes_no_writes(place: OnServer) -> None:
    place.make_tables()
    place.sql(f"ALTER DATABASE {place.name} SET default_transaction_read_only = on")
    assert "is read-only" in only(check(place), "database")["problem"]


def test_check_warns_of_a_superuser(place: OnServer) -> None:
    place.make_tables()
    place.configure({"database.url": place.url_of(postgres.SUPERUSER)})
    assert "is a superuser" in only(check(place), "database", "warning")["problem"]


def test_check_names_a_server_that_does_not_answer(place: OnServer) -> None:
    place.configure({"database.url": f"postgresql://{ROLE}@/bangui?host=/nowhere"})
    finding = only(check(place, status=BAD), "database")
    assert finding["problem"].startswith("no server answers")


def test_check_and_init_work_behind_a_pooler_and_check_warns_of_it(place: OnServer) -> None:
    place.make_tables()
    with pgbouncer.running(place.server) as keywords:
        host = keywords.split()[0].removeprefix("host=")
        url = f"postgresql://{postgres.SUPERUSER}@/{place.name}?host={host}&port=6432"
        place.configure({"database.url": url})
        assert any("a pooler" in finding["problem"] for finding in wrong(check(place, status=GOOD)))
        assert "Nothing was changed" in bangeod("init", "--database", url).stdout


def test_check_changes_nothing(place: OnServer) -> None:
    place.make_tables()
    counted = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables"
    before = place.sql(COLUMNS), place.sql(counted)
    check(place)
    assert (place.sql(COLUMNS), place.sql(counted)) == before
    left = f"SELECT FROM pg_stat_activity WHERE application_name = 'bangeod' AND datname = '{place.name}'"
    eventually(lambda: place.sql(left) == [], "the end of its connection")
