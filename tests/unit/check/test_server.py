"""What ``bangeod check`` says of a PostgreSQL server, from what was seen there."""

import pytest

from bangeod.check import credentials, server
from bangeod.check.finding import Finding, Level
from bangeod.config.settings import DatabaseSettings, FleetSettings, Settings
from bangeod.errors import SchemaError
from bangeod.store.port import Census
from bangeod.store.postgres.inspection import PRIVILEGES, Counted, Look, TableSeen
from bangeod.store.postgres.url import parse

WHERE = "postgresql://web@/bangui"
GEO = TableSeen("public", "geo_cache", True, True, True, 1_234, False, frozenset(PRIVILEGES))
SESSIONS = GEO._replace(name="sessions", rows=None)
GOOD = Look("15.18", "bangeod", False, False, False, False, "public", False, [GEO, SESSIONS])


def wrong(look: Look) -> list[Finding]:
    return [finding for finding in server.judge(WHERE, look) if finding.level is not Level.OK]


def only(look: Look) -> Finding:
    found = wrong(look)
    assert len(found) == 1, found
    assert found[0].mend
    return found[0]


def test_a_server_on_which_all_is_well_is_told_with_its_version_role_and_tables() -> None:
    assert [(found.level, found.problem) for found in server.judge(WHERE, GOOD)] == [
        (Level.OK, "PostgreSQL 15.18, as role bangeod"),
        (Level.OK, "table public.geo_cache, some 1,234 rows"),
        (Level.OK, "table public.sessions"),
    ]


@pytest.mark.parametrize(
    ("look", "words"),
    [
        (GOOD._replace(is_standby=True), "is a standby (in recovery)"),
        (GOOD._replace(is_read_only=True), "is read-only"),
    ],
)
def test_a_server_that_takes_no_writes_is_a_fault(look: Look, words: str) -> None:
    finding = only(look)
    assert finding.level is Level.FAULT
    assert words in finding.problem
    assert "target_session_attrs=read-write" in finding.mend


def test_a_pooler_in_between_is_a_warning() -> None:
    finding = only(GOOD._replace(is_pooled=True))
    assert (finding.level, "a pooler" in finding.problem) == (Level.WARNING, True)


def test_a_superuser_is_a_warning() -> None:
    assert only(GOOD._replace(is_superuser=True)).level is Level.WARNING


@pytest.mark.parametrize("name", ["geo_cache", "sessions"])
def test_a_missing_table_is_a_fault_with_the_command_that_makes_it(name: str) -> None:
    finding = only(GOOD._replace(tables=[table for table in GOOD.tables if table.name != name]))
    assert finding.level is Level.FAULT
    assert f"there is no table {name}" in finding.problem
    assert finding.mend.endswith(f"bangeod init --database {WHERE}")


def test_a_table_in_another_schema_is_a_fault_that_names_it() -> None:
    elsewhere = GEO._replace(schema="web", is_found=False)
    finding = only(GOOD._replace(tables=[elsewhere, SESSIONS]))
    assert (finding.level, finding.mend) == (Level.FAULT, '[database] schema = "web"')
    closed = elsewhere._replace(may_enter=False)
    assert only(GOOD._replace(tables=[closed, SESSIONS])).mend == "GRANT USAGE ON SCHEMA web TO bangeod"


def test_what_the_role_lacks_on_a_table_is_a_fault_with_the_grant() -> None:
    poor = SESSIONS._replace(granted=frozenset({"SELECT", "INSERT"}))
    finding = only(GOOD._replace(tables=[GEO, poor]))
    assert finding.level is Level.FAULT
    assert finding.problem == "role bangeod lacks UPDATE, DELETE on table public.sessions"
    assert finding.mend == "GRANT UPDATE, DELETE ON public.sessions TO bangeod"


def test_a_name_that_needs_quotes_in_sql_has_them_in_what_is_to_be_run() -> None:
    poor = SESSIONS._replace(schema='Web "1"', granted=frozenset({"SELECT", "DELETE", "INSERT"}))
    look = GOOD._replace(role="ban-geo", tables=[GEO, poor])
    assert only(look).mend == 'GRANT UPDATE ON "Web ""1""".sessions TO "ban-geo"'


def test_to_insert_sessions_is_not_needed_and_to_lock_them_is_only_better() -> None:
    only_reads = SESSIONS._replace(granted=frozenset({"SELECT", "DELETE"}))
    finding = only(GOOD._replace(tables=[GEO, only_reads]))
    assert (finding.level, finding.problem) == (Level.WARNING, "role bangeod lacks UPDATE on table public.sessions")


def test_row_level_security_that_holds_for_the_role_is_a_warning() -> None:
    finding = only(GOOD._replace(tables=[GEO._replace(hides_rows=True), SESSIONS]))
    assert finding.level is Level.WARNING
    assert "row-level security hides rows of table public.geo_cache" in finding.problem


def test_a_view_of_that_name_is_a_fault() -> None:
    assert "is no table" in only(GOOD._replace(tables=[GEO, SESSIONS._replace(is_table=False)])).problem


def test_a_table_that_the_jobs_can_not_work_with_is_a_fault() -> None:
    unfit = Counted("sessions", SchemaError(WHERE, "table sessions has no column expires_at", "migrate it"))
    [finding] = server.fit(WHERE, [Counted("geo_cache"), unfit])
    assert (finding.level, finding.mend) == (Level.FAULT, "migrate it")
    assert finding.problem == "table sessions has no column expires_at; expired sessions stay"


def test_times_that_are_none_are_a_warning_with_one_of_them() -> None:
    found = [Counted("sessions", due=Census(3, 1, "'soon'")), Counted("geo_cache", due=Census(1, 0))]
    [finding] = server.fit(WHERE, found)
    assert finding.level is Level.WARNING
    assert "table sessions has 1 row whose time is none, for example 'soon'" in finding.problem


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://a/b?sslmode=require", "sslmode=require: whoever is on the way to the server can pretend"),
        ("postgresql://a/b?sslmode=disable", "sslmode=disable: whoever is on the way to the server reads all of it"),
    ],
)
def test_tls_that_proves_nothing_is_a_warning(url: str, words: str) -> None:
    [finding] = server.way(parse(url))
    assert finding.level is Level.WARNING
    assert words in finding.problem


@pytest.mark.parametrize("url", ["postgresql://a/b", "postgresql:///b", "postgresql:///b?sslmode=disable"])
def test_a_server_that_proves_who_it_is_and_a_socket_are_no_finding(url: str) -> None:
    assert list(server.way(parse(url))) == []


def test_the_services_password_is_the_credentials_for_a_url_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "load", {"postgres_password": "s3kr3t\n"}.get)
    url = parse("postgresql://web:other@/bangui")
    settings = Settings(database=DatabaseSettings(path=None, url=url))
    assert server.with_services_password(settings).database.url == url.with_password("s3kr3t")
    assert server.with_services_password(Settings()) == Settings()
    monkeypatch.setattr(credentials, "load", {"postgres_password": "\n"}.get)
    assert server.with_services_password(settings) == settings


def test_the_fleets_password_is_that_of_its_own_credential_else_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    url = parse("postgresql://web1@/fleet")
    settings = Settings(fleet=FleetSettings(url=url))
    monkeypatch.setattr(credentials, "load", {"postgres_password": "s3kr3t\n"}.get)
    assert server.with_services_password(settings).fleet.url == url.with_password("s3kr3t")
    monkeypatch.setattr(credentials, "load", {"postgres_password": "s3kr3t\n", "fleet_password": "0wn\n"}.get)
    assert server.with_services_password(settings).fleet.url == url.with_password("0wn")
